-- The strategy higher_rank: the most specific name above the species that is certain.
-- In: `label_ranks`, `read_names`, `hidden_names`, `contexts`, `strategies`, `species_outcomes` and the attached
-- `backbone`. Out: `higher_outcomes`, one for each label without a species outcome.

-- The names at or above genus of the labels that are left. `rank` NULL: a name that may be of any rank ("Fagaceae" as
-- the scientific name).
CREATE OR REPLACE TEMP TABLE words AS
SELECT label, rank, key
FROM (
    UNPIVOT (FROM label_ranks ANTI JOIN species_outcomes USING (label))
    ON kingdom, phylum, class, "order", family, genus
    INTO NAME rank VALUE key
)
UNION
SELECT label, CASE WHEN epithet IS NOT NULL THEN 'genus' END, name_key(word)
FROM (FROM read_names UNION ALL FROM hidden_names)
ANTI JOIN species_outcomes USING (label);

CREATE OR REPLACE TEMP TABLE higher_hits AS
SELECT
    words.label,
    words.key,
    rank_place(names.rank) AS place,
    names.tier,
    names.taxon_id,
    taxa.answer_id,
    answer_key(taxa) AS answer_key,
    placed_id(taxa) AS placed_id,
    kingdom_key(taxa.kingdom) AS kingdom,
    contexts.kingdoms,
    in_conflict(contexts.kingdoms, taxa.kingdom) AS in_conflict,
    -- Only ranks above the name itself can speak for it.
    agrees(contexts.phylum, CASE WHEN place > 2 THEN name_key(taxa.phylum) END)
        + agrees(contexts.class, CASE WHEN place > 3 THEN name_key(taxa.class) END)
        + agrees(contexts."order", CASE WHEN place > 4 THEN name_key(taxa."order") END)
        + agrees(contexts.family, CASE WHEN place > 5 THEN name_key(taxa.family) END)
        + (contexts.kingdoms IS NOT NULL AND taxa.kingdom IS NOT NULL)::INTEGER AS agreeing,
    -- The nearest rank above that both have.
    coalesce(
        CASE WHEN place > 5 THEN contexts.family = name_key(taxa.family) END,
        CASE WHEN place > 4 THEN contexts."order" = name_key(taxa."order") END,
        CASE WHEN place > 3 THEN contexts.class = name_key(taxa.class) END,
        CASE WHEN place > 2 THEN contexts.phylum = name_key(taxa.phylum) END,
        true
    ) AS is_near
FROM words
JOIN contexts USING (label)
ANTI JOIN species_outcomes USING (label)
JOIN backbone.names AS names ON names.key = words.key AND (words.rank IS NULL OR words.rank = names.rank)
JOIN backbone.taxa AS taxa ON taxa.taxon_id = names.accepted_id
WHERE
    names.rank IN ('kingdom', 'phylum', 'class', 'order', 'family', 'genus')
    AND 'higher_rank' IN (SELECT name FROM strategies);

-- Kingdoms by another backbone's name are found by what the label allows.
INSERT INTO higher_hits
SELECT
    contexts.label,
    names.key,
    1,
    names.tier,
    names.taxon_id,
    taxa.answer_id,
    answer_key(taxa),
    placed_id(taxa),
    kingdom_key(taxa.kingdom),
    contexts.kingdoms,
    false,
    1,
    true
FROM contexts
ANTI JOIN species_outcomes USING (label)
JOIN backbone.names AS names ON names.rank = 'kingdom' AND len(contexts.kingdoms) = 1
JOIN backbone.taxa AS taxa ON taxa.taxon_id = names.accepted_id AND kingdom_key(taxa.kingdom) = contexts.kingdoms[1]
WHERE names.tier = 0 AND 'higher_rank' IN (SELECT name FROM strategies);

CREATE OR REPLACE TEMP TABLE higher_outcomes AS
WITH viable AS (
    SELECT * FROM higher_hits WHERE NOT in_conflict AND is_near
),
agreeing_most AS (
    SELECT *
    FROM viable
    QUALIFY agreeing = max(agreeing) OVER (PARTITION BY label, place)
),
preferred AS (
    SELECT *
    FROM agreeing_most
    QUALIFY tier = min(tier) OVER (PARTITION BY label, place)
),
certain AS (
    SELECT
        label,
        place,
        arg_min(taxon_id, (answer_id, taxon_id)) AS taxon_id,
        arg_min(answer_id, (answer_id, taxon_id)) AS answer_id,
        min(agreeing) AS agreeing
    FROM preferred
    GROUP BY label, place
    HAVING min(answer_key) = max(answer_key)
),
lowest AS (
    SELECT *
    FROM certain
    QUALIFY place = max(place) OVER (PARTITION BY label)
),
met AS (
    SELECT label, bool_or(in_conflict) AS has_conflict, bool_or(NOT in_conflict AND is_near) AS has_viable
    FROM higher_hits
    GROUP BY label
),
judged AS (
    SELECT
        labels.label,
        lowest.* EXCLUDE (label),
        CASE
            -- A name from another kingdom, and nothing but the word for the kingdom against it: no certainty at all.
            WHEN met.has_conflict AND coalesce(lowest.place, 1) = 1 THEN 'conflict'
            WHEN lowest.label IS NOT NULL THEN NULL
            WHEN met.has_viable THEN 'ambiguous'
            WHEN labels.label IN (SELECT label FROM words) THEN 'not_found'
            ELSE 'no_name'
        END AS reason
    FROM labels
    ANTI JOIN species_outcomes USING (label)
    LEFT JOIN lowest USING (label)
    LEFT JOIN met USING (label)
),
troubles AS (
    SELECT
        label,
        arg_max(key, (NOT in_conflict AND is_near, place, key)) AS viable_name,
        arg_max({key: key, kingdom: kingdom}, (in_conflict, place, key, kingdom)) AS conflicting,
        any_value(shown_kingdoms(kingdoms)) AS kingdoms_said,
        array_to_string(list_sort(array_agg(DISTINCT placed_id) FILTER (NOT in_conflict AND is_near))[:4], ' or ')
            AS answers_met
    FROM higher_hits
    SEMI JOIN (SELECT label FROM judged WHERE reason IN ('conflict', 'ambiguous')) AS troubled USING (label)
    GROUP BY label
)
SELECT
    label,
    reason,
    CASE WHEN reason IS NULL THEN 'higher_rank' ELSE 'unresolved' END AS strategy,
    CASE WHEN reason IS NULL THEN 'higher_rank' ELSE 'none' END AS match_type,
    CASE WHEN reason IS NULL THEN taxon_id END AS taxon_id,
    CASE WHEN reason IS NULL THEN answer_id END AS answer_id,
    agreeing,
    0 AS differing,
    CASE
        WHEN reason IS NULL THEN 'no species: '
            || coalesce(shown(asked.name) || ' is not in the backbone', 'the label is certain of none')
        WHEN reason = 'conflict'
            THEN shown(conflicting.key) || ' is of ' || shown(conflicting.kingdom) || ', the label says ' || kingdoms_said
        WHEN reason = 'ambiguous' THEN shown(viable_name) || ' may be ' || answers_met
        WHEN reason = 'not_found' THEN coalesce(shown(asked.name), 'no name of the label') || ' is not in the backbone'
        ELSE 'the label has no name'
    END AS detail
FROM judged
LEFT JOIN troubles USING (label)
LEFT JOIN (SELECT label, arg_min(key, (priority, key)) AS name FROM queries GROUP BY label) AS asked
    USING (label);
