-- The strategy higher_rank: the most specific name above the species that is certain.
-- In: `label_ranks`, `read_names`, `hidden_names`, `contexts`, `strategies`, `species_outcomes` and the attached
-- `backbone`. Out: `higher_outcomes`, one for each label without a species outcome.

-- The names at or above genus of the labels that are left. `rank` NULL: a name that may be of any rank ("Fagaceae" as
-- the scientific name). The genus of what lives in a host is not the host's.
CREATE OR REPLACE TEMP TABLE words AS
WITH read AS (
    SELECT label, rank, key, false AS is_lower
    FROM (
        UNPIVOT (FROM label_ranks ANTI JOIN species_outcomes USING (label))
        ON kingdom, phylum, class, "order", family, genus
        INTO NAME rank VALUE key
    )
    WHERE rank != 'genus' OR label NOT IN (SELECT label FROM read_names WHERE whole IS NOT NULL)
    UNION
    SELECT label, CASE WHEN epithet IS NOT NULL THEN 'genus' END, name_key(word), is_lower AND epithet IS NULL
    FROM (FROM read_names UNION ALL FROM hidden_names)
    ANTI JOIN species_outcomes USING (label)
    WHERE word IS NOT NULL
)
SELECT *, kingdoms_meant(key) AS kingdoms_named
FROM read;

-- A word in lower case that is an epithet of the backbone is no genus of that name.
DELETE FROM words
WHERE is_lower AND key IN (SELECT epithet FROM backbone.names SEMI JOIN words ON words.is_lower AND words.key = epithet);

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
    in_conflict(contexts.kingdoms, kingdom_key(taxa.kingdom)) AS in_conflict,
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
JOIN backbone.names AS names
    ON names.key = words.key
    AND (words.rank IS NULL OR words.rank = names.rank)
    -- A kingdom's name is that kingdom, not a genus in it; Bacteria in Animalia is a stick insect.
    AND (
        names.rank = 'kingdom'
        OR words.kingdoms_named IS NULL
        OR NOT coalesce(list_has_any(contexts.kingdoms, words.kingdoms_named), true)
    )
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

-- The first species that a label asks for, and what the backbone has of that name where it is no species.
CREATE OR REPLACE TEMP TABLE asked_of_labels AS
WITH asked AS (
    SELECT label, arg_min(key, (priority, key)) AS name
    FROM queries
    ANTI JOIN species_outcomes USING (label)
    WHERE is_asked
    GROUP BY label
),
other_ranks AS (
    SELECT key, min(rank) AS rank
    FROM backbone.names
    SEMI JOIN asked ON asked.name = names.key
    WHERE NOT is_species_level
    GROUP BY key
)
SELECT
    asked.label,
    asked.name,
    CASE
        WHEN other_ranks.key IS NULL THEN ' is not in the backbone'
        ELSE ' is in the backbone as ' || other_rank(other_ranks.rank)
    END AS standing
FROM asked
LEFT JOIN other_ranks ON other_ranks.key = asked.name;

CREATE OR REPLACE TEMP TABLE higher_outcomes AS
WITH viable AS (
    SELECT * FROM higher_hits WHERE NOT in_conflict AND is_near
),
agreeing_most AS (
    SELECT *
    FROM viable
    QUALIFY agreeing = max(agreeing) OVER (PARTITION BY label, place)
),
-- As among species: between kingdoms there is nothing to choose by.
preferred AS (
    SELECT *, count(DISTINCT coalesce(kingdom, '')) OVER (PARTITION BY label, place) AS kingdoms_left
    FROM agreeing_most
    QUALIFY tier = min(tier) OVER (PARTITION BY label, place) OR kingdoms_left > 1
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
            WHEN labels.label IN (SELECT label FROM words UNION ALL SELECT label FROM asked_of_labels) THEN 'not_found'
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
            || coalesce(shown(asked.name) || standing, 'the label is certain of none')
        WHEN reason = 'conflict'
            THEN shown(conflicting.key) || ' is of ' || shown(conflicting.kingdom) || ', the label says ' || kingdoms_said
        WHEN reason = 'ambiguous' THEN shown(viable_name) || ' may be ' || answers_met
        WHEN reason = 'not_found' THEN coalesce(shown(asked.name) || standing, 'no name of the label is in the backbone')
        ELSE 'the label has no name'
    END AS detail
FROM judged
LEFT JOIN troubles USING (label)
LEFT JOIN asked_of_labels AS asked USING (label);

-- Where species are ambiguous but all of one genus, that genus is certain.
UPDATE species_outcomes
SET
    reason = NULL,
    strategy = 'higher_rank',
    match_type = 'higher_rank',
    taxon_id = genera.taxon_id,
    answer_id = genera.taxon_id,
    detail = 'no species: ' || detail
FROM (
    SELECT answer_key(taxa) AS key, min(taxon_id) AS taxon_id
    FROM backbone.taxa AS taxa
    WHERE resolved_rank = 'genus' AND answer_id = taxon_id
    GROUP BY key
) AS genera
WHERE
    species_outcomes.common_genus = genera.key
    AND species_outcomes.reason = 'ambiguous'
    AND 'higher_rank' IN (SELECT name FROM strategies);
