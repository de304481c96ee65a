-- The strategy higher_rank: the lowest rank above species that is certain.
-- In: `label_ranks`, `read_names`, `hidden_names`, `contexts`, `strategies`, `species_outcomes` and the attached
-- `backbone`. Out: `higher_outcomes`, one for each label without a species outcome.

-- Names at genus or above in the labels without a species outcome. `rank` NULL: a name of any rank ("Fagaceae" as the
-- scientific name). An organism that is named after its host is not of the host's genus.
CREATE OR REPLACE TEMP TABLE higher_names AS
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

-- A lower-case word that is an epithet in the backbone is not a genus.
DELETE FROM higher_names
WHERE
    is_lower
    AND key IN (
        SELECT epithet FROM backbone.names SEMI JOIN higher_names ON higher_names.is_lower AND higher_names.key = epithet
    );

CREATE OR REPLACE TEMP TABLE higher_hits AS
SELECT
    higher_names.label,
    higher_names.key,
    rank_place(names.rank) AS place,
    names.tier,
    names.taxon_id,
    taxa.answer_id,
    answer_key(taxa) AS answer_key,
    placed_id(taxa) AS placed_id,
    kingdom_key(taxa.kingdom) AS kingdom,
    contexts.kingdoms,
    in_conflict(contexts.kingdoms, kingdom_key(taxa.kingdom)) AS in_conflict,
    -- Only ranks above the name itself are evidence for it.
    agrees(contexts.phylum, CASE WHEN place > 2 THEN name_key(taxa.phylum) END)
        + agrees(contexts.class, CASE WHEN place > 3 THEN name_key(taxa.class) END)
        + agrees(contexts."order", CASE WHEN place > 4 THEN name_key(taxa."order") END)
        + agrees(contexts.family, CASE WHEN place > 5 THEN name_key(taxa.family) END)
        + (contexts.kingdoms IS NOT NULL AND taxa.kingdom IS NOT NULL)::INTEGER AS agreeing,
    -- Whether the nearest higher rank that both have agrees.
    coalesce(
        CASE WHEN place > 5 THEN contexts.family = name_key(taxa.family) END,
        CASE WHEN place > 4 THEN contexts."order" = name_key(taxa."order") END,
        CASE WHEN place > 3 THEN contexts.class = name_key(taxa.class) END,
        CASE WHEN place > 2 THEN contexts.phylum = name_key(taxa.phylum) END,
        true
    ) AS is_near
FROM higher_names
JOIN contexts USING (label)
ANTI JOIN species_outcomes USING (label)
JOIN backbone.names AS names
    ON names.key = higher_names.key
    AND (higher_names.rank IS NULL OR higher_names.rank = names.rank)
    -- A kingdom's name is not a genus in that kingdom; but Bacteria in Animalia is a stick insect.
    AND (
        names.rank = 'kingdom'
        OR higher_names.kingdoms_named IS NULL
        OR NOT coalesce(list_has_any(contexts.kingdoms, higher_names.kingdoms_named), true)
    )
JOIN backbone.taxa AS taxa ON taxa.taxon_id = names.accepted_id
WHERE
    names.rank IN ('kingdom', 'phylum', 'class', 'order', 'family', 'genus')
    AND 'higher_rank' IN (SELECT name FROM strategies);

-- A kingdom that this backbone calls by another name is found by the kingdom that the label allows.
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

-- The first species that a label names, and whether the backbone has that name at another rank.
CREATE OR REPLACE TEMP TABLE species_of_labels AS
WITH species AS (
    SELECT label, arg_min(key, (priority, key)) AS name
    FROM queries
    ANTI JOIN species_outcomes USING (label)
    WHERE is_primary
    GROUP BY label
),
other_ranks AS (
    SELECT key, min(rank) AS rank
    FROM backbone.names
    SEMI JOIN species ON species.name = names.key
    WHERE NOT is_species_level
    GROUP BY key
)
SELECT
    species.label,
    species.name,
    CASE
        WHEN other_ranks.key IS NULL THEN ' is not in the backbone'
        ELSE ' is in the backbone as ' || other_rank(other_ranks.rank)
    END AS standing
FROM species
LEFT JOIN other_ranks ON other_ranks.key = species.name;

CREATE OR REPLACE TEMP TABLE higher_outcomes AS
WITH viable AS (
    SELECT * FROM higher_hits WHERE NOT in_conflict AND is_near
),
agreeing_most AS (
    SELECT *
    FROM viable
    QUALIFY agreeing = max(agreeing) OVER (PARTITION BY label, place)
),
-- As for species, tiers do not decide between kingdoms.
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
            -- If a name is in another kingdom and only the label's kingdom contradicts it, nothing is certain.
            WHEN met.has_conflict AND coalesce(lowest.place, 1) = 1 THEN 'conflict'
            WHEN lowest.label IS NOT NULL THEN NULL
            WHEN met.has_viable THEN 'ambiguous'
            WHEN labels.label IN (SELECT label FROM higher_names UNION ALL SELECT label FROM species_of_labels)
                THEN 'not_found'
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
            || coalesce(shown(species.name) || standing, 'the label names no certain species')
        WHEN reason = 'conflict'
            THEN shown(conflicting.key) || ' is of ' || shown(conflicting.kingdom) || ', the label says ' || kingdoms_said
        WHEN reason = 'ambiguous' THEN shown(viable_name) || ' may be ' || answers_met
        WHEN reason = 'not_found'
            THEN coalesce(shown(species.name) || standing, 'no name of the label is in the backbone')
        ELSE 'the label has no name'
    END AS detail
FROM judged
LEFT JOIN troubles USING (label)
LEFT JOIN species_of_labels AS species USING (label);

-- If all species of an ambiguous label are of one genus, that genus is certain.
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
