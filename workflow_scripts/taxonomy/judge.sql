-- Choose the answer among a finder's candidates.
-- In: `found`, `contexts`, `strategies`, the attached `backbone` and the variables `finder` and `is_guess`.
-- Out: rows of `species_outcomes`, at most one per label, and of `weighed`.

-- Only the candidates of a label's first binomial that has any count.
CREATE OR REPLACE TEMP TABLE candidates AS
WITH first AS (
    SELECT label, min(priority) AS priority, arg_min(candidates, priority) = 1 AS is_lone
    FROM (SELECT label, priority, count(*) AS candidates FROM found GROUP BY label, priority)
    GROUP BY label
),
-- Compute keys only for the taxa that were found: a backbone has millions.
keyed AS (
    SELECT
        found.*,
        first.is_lone,
        taxa,
        name_key(taxa.phylum) AS phylum_key,
        name_key(taxa.class) AS class_key,
        name_key(taxa."order") AS order_key,
        name_key(taxa.family) AS family_key,
        kingdom_key(taxa.kingdom) AS kingdom
    FROM found
    JOIN first USING (label, priority)
    JOIN backbone.taxa AS taxa ON taxa.taxon_id = found.accepted_id
)
SELECT
    keyed.label,
    keyed.priority,
    keyed.is_lone,
    keyed.query,
    keyed.key,
    keyed.tier,
    keyed.taxon_id,
    keyed.distance,
    keyed.taxa.answer_id,
    keyed.taxa.scientific_name,
    CASE WHEN NOT is_lone THEN answer_key(keyed.taxa) END AS answer_key,
    CASE WHEN NOT is_lone AND keyed.taxa.genus IS NOT NULL THEN answer_key_above(keyed.taxa, 6) END AS genus_key,
    CASE WHEN NOT is_lone THEN placed_id(keyed.taxa) END AS placed_id,
    keyed.kingdom,
    contexts.kingdoms,
    in_conflict(contexts.kingdoms, keyed.kingdom) AS in_conflict,
    agrees(contexts.phylum, phylum_key)
        + agrees(contexts.class, class_key)
        + agrees(contexts."order", order_key)
        + agrees(contexts.family, family_key) AS agreeing,
    agrees(contexts.filled.phylum, phylum_key)
        + agrees(contexts.filled.class, class_key)
        + agrees(contexts.filled."order", order_key)
        + agrees(contexts.filled.family, family_key) AS filled_agreeing,
    differs(contexts.phylum, phylum_key)
        + differs(contexts.class, class_key)
        + differs(contexts."order", order_key)
        + differs(contexts.family, family_key) AS differing,
    (contexts.kingdoms IS NOT NULL AND keyed.kingdom IS NOT NULL)::INTEGER AS kingdom_agrees
FROM keyed
JOIN contexts USING (label);

-- Whether the label's author and infraspecific rank agree with each candidate, for labels with several.
CREATE OR REPLACE TEMP TABLE rival_evidence AS
SELECT
    candidates.label,
    candidates.taxon_id,
    any_value(authors_agree(query.author, names.authorship)) AS author_agrees,
    bool_or(query.infra_rank = names.rank) AS infra_rank_agrees
FROM candidates
JOIN (
    -- If two columns give the same name, perhaps only one gives the author.
    SELECT label, key AS query, author_key(max(author)) AS author, max(infra_rank) AS infra_rank
    FROM queries
    SEMI JOIN candidates ON candidates.label = queries.label AND NOT candidates.is_lone
    WHERE author IS NOT NULL OR infra_rank IS NOT NULL
    GROUP BY label, key
) AS query
    USING (label, query)
JOIN (
    SELECT taxon_id, rank, author_key(authorship) AS authorship
    FROM backbone.names
    SEMI JOIN candidates ON candidates.taxon_id = names.taxon_id AND NOT candidates.is_lone
) AS names
    USING (taxon_id)
WHERE NOT candidates.is_lone
GROUP BY candidates.label, candidates.taxon_id;

INSERT INTO weighed BY NAME
SELECT
    getvariable('finder') AS finder,
    label, key, tier, taxon_id, answer_id, distance, agreeing, filled_agreeing, differing, in_conflict, author_agrees
FROM candidates
LEFT JOIN rival_evidence USING (label, taxon_id)
WHERE getvariable('keeps_weighed');

-- The fields of the chosen candidate that the answer needs.
CREATE OR REPLACE TEMP MACRO as_best(candidate) AS {
    tier: candidate.tier,
    kingdom: coalesce(candidate.kingdom, ''),
    query: candidate.query,
    key: candidate.key,
    scientific_name: candidate.scientific_name,
    taxon_id: candidate.taxon_id,
    answer_id: candidate.answer_id,
    agreeing: candidate.agreeing + candidate.kingdom_agrees,
    filled_agreeing: candidate.filled_agreeing + candidate.kingdom_agrees,
    differing: candidate.differing,
    distance: candidate.distance
};

INSERT INTO species_outcomes BY NAME
WITH viable AS (
    SELECT *
    FROM candidates
    WHERE NOT is_lone AND NOT in_conflict AND NOT is_another(agreeing, differing)
    QUALIFY distance = min(distance) OVER (PARTITION BY label)
),
-- A subspecies and a variety of the same name are different taxa.
of_rank AS (
    SELECT
        viable.*,
        rival_evidence.author_agrees,
        count(DISTINCT coalesce(kingdom, '')) OVER (PARTITION BY label) AS kingdoms_met
    FROM viable
    LEFT JOIN rival_evidence USING (label, taxon_id)
    QUALIFY
        coalesce(infra_rank_agrees, false)
        = max(coalesce(infra_rank_agrees, false)) OVER (PARTITION BY label)
),
-- Authors distinguish homonyms within a kingdom.
unauthored AS (
    SELECT *, count(DISTINCT answer_key) OVER (PARTITION BY label) AS answers_unauthored
    FROM of_rank
),
authored AS (
    SELECT *
    FROM unauthored
    QUALIFY
        kingdoms_met > 1
        OR coalesce(max(author_agrees) OVER (PARTITION BY label), 0) < 0.5
        OR author_agrees = max(author_agrees) OVER (PARTITION BY label)
        OR 'author' NOT IN (SELECT name FROM strategies)
),
narrowed AS (
    SELECT
        *,
        count(DISTINCT answer_key) OVER (PARTITION BY label) < answers_unauthored AS is_by_author
    FROM authored
),
agreeing_most AS (
    SELECT *
    FROM narrowed
    QUALIFY agreeing + kingdom_agrees = max(agreeing + kingdom_agrees) OVER (PARTITION BY label)
),
-- Among equals, accepted names come before synonyms and synonyms before doubtful names, but only within a kingdom: tiers
-- do not decide between kingdoms.
preferred AS (
    SELECT *, count(DISTINCT coalesce(kingdom, '')) OVER (PARTITION BY label) AS kingdoms_left
    FROM agreeing_most
    QUALIFY tier = min(tier) OVER (PARTITION BY label) OR kingdoms_left > 1
),
counted AS (
    SELECT *, count(DISTINCT answer_key) OVER (PARTITION BY label) AS answers_unfilled
    FROM preferred
),
-- If the label's own ranks do not decide, use the ranks that they imply as well.
filled AS (
    SELECT *
    FROM counted
    QUALIFY
        answers_unfilled = 1
        OR 'filled' NOT IN (SELECT name FROM strategies)
        OR filled_agreeing = max(filled_agreeing) OVER (PARTITION BY label)
),
chosen AS (
    SELECT
        label,
        count(DISTINCT answer_key) AS answers,
        any_value(answers_unfilled) AS answers_unfilled,
        bool_or(is_by_author) AS is_by_author,
        CASE WHEN count(genus_key) = count(*) AND count(DISTINCT genus_key) = 1 THEN min(genus_key) END AS common_genus,
        array_to_string(list_sort(array_agg(DISTINCT placed_id))[:4], ' or ') AS answers_left,
        arg_min(as_best(filled), (tier, answer_id, taxon_id)) AS best
    FROM filled
    GROUP BY label
),
-- `rivals` above 1: the name alone has several answers at least as good, so the label's other columns had to decide.
rivalry AS (
    SELECT candidates.label, count(DISTINCT candidates.answer_key) AS rivals
    FROM candidates
    JOIN chosen USING (label)
    WHERE
        NOT candidates.is_lone
        AND candidates.distance <= chosen.best.distance
        AND (candidates.tier <= chosen.best.tier OR coalesce(candidates.kingdom, '') != chosen.best.kingdom)
    GROUP BY candidates.label
),
labels_met AS (
    SELECT
        label,
        min(shown(key)) AS name,
        array_to_string(list_sort(array_agg(DISTINCT shown(kingdom))), ' and ') AS kingdoms_met,
        any_value(shown_kingdoms(kingdoms)) AS kingdoms_said,
        bool_and(in_conflict) AS in_conflict
    FROM candidates
    WHERE NOT is_lone
    GROUP BY label
),
judged AS (
    SELECT
        labels_met.*,
        chosen.* EXCLUDE (label),
        rivalry.rivals,
        coalesce(rivalry.rivals, 0) > 1 AS is_homonym,
        chosen.answers_unfilled > 1 AS is_filled,
        CASE
            WHEN chosen.label IS NULL THEN 'conflict'
            WHEN chosen.answers > 1 THEN 'ambiguous'
            WHEN rivalry.rivals > 1 AND 'rank_context' NOT IN (SELECT name FROM strategies) THEN 'ambiguous'
        END AS reason
    FROM labels_met
    LEFT JOIN chosen USING (label)
    LEFT JOIN rivalry USING (label)
    UNION ALL BY NAME
    -- Most labels have a single candidate, so there is nothing to weigh.
    SELECT
        label,
        shown(key) AS name,
        shown(kingdom) AS kingdoms_met,
        shown_kingdoms(kingdoms) AS kingdoms_said,
        in_conflict,
        as_best(candidates) AS best,
        false AS is_homonym,
        false AS is_filled,
        false AS is_by_author,
        CASE WHEN in_conflict OR is_another(agreeing, differing) THEN 'conflict' END AS reason
    FROM candidates
    WHERE is_lone
)
SELECT
    label,
    reason,
    CASE
        WHEN reason IS NOT NULL THEN 'unresolved'
        WHEN getvariable('finder') != 'named' THEN getvariable('finder')
        WHEN is_filled THEN 'filled'
        WHEN is_homonym AND is_by_author THEN 'author'
        WHEN is_homonym THEN 'rank_context'
        WHEN best.tier = 1 THEN 'synonym'
        ELSE 'exact'
    END AS strategy,
    CASE
        WHEN reason IS NOT NULL THEN 'none'
        WHEN getvariable('finder') IN ('fuzzy', 'fuzzy_supported') THEN 'fuzzy'
        WHEN is_homonym THEN 'homonym'
        WHEN best.tier = 1 THEN 'synonym'
        ELSE 'exact'
    END AS match_type,
    CASE WHEN reason IS NULL THEN best.taxon_id END AS taxon_id,
    CASE WHEN reason IS NULL THEN best.answer_id END AS answer_id,
    CASE WHEN is_filled THEN best.filled_agreeing ELSE best.agreeing END AS agreeing,
    best.differing,
    best.distance,
    CASE WHEN reason = 'ambiguous' THEN common_genus END AS common_genus,
    CASE
        WHEN reason = 'conflict' AND in_conflict
            THEN name || ' is of ' || kingdoms_met || ', the label says ' || kingdoms_said
        WHEN reason = 'conflict' THEN 'no rank of the label agrees with any ' || name
        WHEN reason = 'ambiguous' THEN name || ' may be ' || answers_left
        ELSE concat_ws(
            '; ',
            CASE
                WHEN best.distance > 0 THEN shown(best.query) || ' read as ' || shown(best.key)
                WHEN getvariable('finder') = 'filled'
                    THEN shown(best.key) || ' is the only ' || best.query || ' of its family'
                WHEN getvariable('finder') = 'hidden_binomial' THEN shown(best.key) || ' found in another column'
                WHEN getvariable('finder') = 'title_case' THEN 'written in Title Case'
            END,
            CASE
                WHEN best.tier = 1 THEN shown(best.key) || ' is a synonym of ' || best.scientific_name
                WHEN best.tier = 2 THEN 'a doubtful name'
                WHEN best.tier = 3 THEN 'a name of unknown status'
            END,
            CASE WHEN is_homonym THEN rivals || ' taxa of that name' END,
            CASE WHEN is_homonym AND is_by_author THEN 'distinguished by the author' END,
            CASE WHEN is_filled THEN 'distinguished after filling the label''s missing ranks' END,
            CASE
                WHEN is_filled THEN 'agreeing ranks: ' || best.filled_agreeing
                WHEN best.agreeing > 0 THEN 'agreeing ranks: ' || best.agreeing
                ELSE 'no rank to compare, or none that agrees'
            END,
            CASE WHEN best.differing > 0 THEN 'differing: ' || best.differing END
        )
    END AS detail
FROM judged
WHERE reason IS NULL OR NOT getvariable('is_guess');
