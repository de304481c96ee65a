-- The strategies that find a species by its name: exact, synonym, rank_context, hidden_binomial.
-- In: `queries`, `contexts`, `strategies` and the attached `backbone`. Out: `species_outcomes`, at most one a label.

-- Every name that a label's binomials meet, with the taxon that it stands for.
CREATE OR REPLACE TEMP TABLE hits AS
SELECT
    queries.label_id,
    queries.priority,
    queries.is_hidden,
    names.tier,
    names.taxon_id,
    taxa.answer_id,
    answer_key(taxa) AS answer_key,
    kingdom_key(taxa.kingdom) AS kingdom,
    in_conflict(contexts.kingdoms, taxa.kingdom) AS in_conflict,
    agrees(contexts.phylum, name_key(taxa.phylum))
        + agrees(contexts.class, name_key(taxa.class))
        + agrees(contexts."order", name_key(taxa."order"))
        + agrees(contexts.family, name_key(taxa.family)) AS agreeing,
    differs(contexts.phylum, name_key(taxa.phylum))
        + differs(contexts.class, name_key(taxa.class))
        + differs(contexts."order", name_key(taxa."order"))
        + differs(contexts.family, name_key(taxa.family)) AS differing,
    contexts.kingdoms IS NOT NULL AND taxa.kingdom IS NOT NULL AS kingdom_agrees
FROM queries
JOIN contexts USING (label_id)
JOIN backbone.names AS names ON names.key = queries.key AND names.is_species_level
JOIN backbone.taxa AS taxa ON taxa.taxon_id = names.accepted_id
WHERE
    (NOT queries.is_hidden OR 'hidden_binomial' IN (SELECT name FROM strategies))
    AND CASE WHEN names.tier = 1 THEN 'synonym' ELSE 'exact' END IN (SELECT name FROM strategies);

-- The first of a label's binomials that the backbone knows decides; the others say nothing more.
CREATE OR REPLACE TEMP TABLE candidates AS
SELECT hits.*
FROM hits
JOIN (SELECT label_id, min(priority) AS priority FROM hits GROUP BY label_id) AS first USING (label_id, priority);

CREATE OR REPLACE TEMP TABLE species_outcomes AS
WITH viable AS (
    -- Where two or more ranks below the kingdom can be compared and none agrees, it is another organism of that name.
    SELECT *
    FROM candidates
    WHERE NOT in_conflict AND NOT (agreeing = 0 AND differing >= 2)
),
agreeing_most AS (
    SELECT *
    FROM viable
    QUALIFY agreeing + kingdom_agrees::INTEGER = max(agreeing + kingdom_agrees::INTEGER) OVER (PARTITION BY label_id)
),
-- Among equals an accepted name goes before a synonym and that before a doubtful name, but only within one kingdom:
-- between kingdoms there is nothing to choose by.
preferred AS (
    SELECT *, count(DISTINCT coalesce(kingdom, '')) OVER (PARTITION BY label_id) AS kingdoms
    FROM agreeing_most
    QUALIFY tier = min(tier) OVER (PARTITION BY label_id) OR kingdoms > 1
),
chosen AS (
    SELECT
        label_id,
        count(DISTINCT answer_key) AS answers,
        min(tier) AS tier,
        arg_min(coalesce(kingdom, ''), (tier, answer_id, taxon_id)) AS kingdom,
        arg_min(taxon_id, (tier, answer_id, taxon_id)) AS taxon_id,
        arg_min(answer_id, (tier, answer_id, taxon_id)) AS answer_id,
        arg_min(agreeing + kingdom_agrees::INTEGER, (tier, answer_id, taxon_id)) AS agreeing,
        arg_min(differing, (tier, answer_id, taxon_id)) AS differing
    FROM preferred
    GROUP BY label_id
),
-- Did the label's ranks have to choose? Yes, when the name alone has other answers at least as good.
rivalry AS (
    SELECT candidates.label_id, count(DISTINCT candidates.answer_key) AS rivals
    FROM candidates
    JOIN chosen USING (label_id)
    WHERE candidates.tier <= chosen.tier OR coalesce(candidates.kingdom, '') != chosen.kingdom
    GROUP BY candidates.label_id
),
judged AS (
    SELECT
        labels_met.label_id,
        labels_met.is_hidden,
        chosen.* EXCLUDE (label_id),
        coalesce(rivalry.rivals, 0) > 1 AS is_homonym,
        CASE
            WHEN chosen.label_id IS NULL THEN 'conflict'
            WHEN chosen.answers > 1 THEN 'ambiguous'
            WHEN rivalry.rivals > 1 AND 'rank_context' NOT IN (SELECT name FROM strategies) THEN 'ambiguous'
        END AS reason
    FROM (SELECT label_id, bool_and(is_hidden) AS is_hidden FROM candidates GROUP BY label_id) AS labels_met
    LEFT JOIN chosen USING (label_id)
    LEFT JOIN rivalry USING (label_id)
)
SELECT
    label_id,
    reason,
    CASE
        WHEN reason IS NOT NULL THEN 'unresolved'
        WHEN is_hidden THEN 'hidden_binomial'
        WHEN is_homonym THEN 'rank_context'
        WHEN tier = 1 THEN 'synonym'
        ELSE 'exact'
    END AS strategy,
    CASE
        WHEN reason IS NOT NULL THEN 'none'
        WHEN is_homonym THEN 'homonym'
        WHEN tier = 1 THEN 'synonym'
        ELSE 'exact'
    END AS match_type,
    CASE WHEN reason IS NULL THEN taxon_id END AS taxon_id,
    CASE WHEN reason IS NULL THEN answer_id END AS answer_id,
    agreeing,
    differing
FROM judged;
