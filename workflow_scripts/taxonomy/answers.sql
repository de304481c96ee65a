-- What this backbone says of each label, with the taxon's ranks and common name, added to `answers`.
-- In: `species_outcomes`, `higher_outcomes`, `languages` and the attached `backbone`.

-- The accepted taxon's common name: in the first language that has one, the name given most often, ties by alphabet.
CREATE OR REPLACE TEMP TABLE common_names AS
SELECT vernaculars.taxon_id, arg_min(vernaculars.name, (languages.place, -times, vernaculars.name)) AS common_name
FROM backbone.vernaculars AS vernaculars
JOIN languages ON languages.name = vernaculars.language
GROUP BY vernaculars.taxon_id;

INSERT INTO answers
SELECT
    outcomes.label,
    getvariable('backbone_place') AS backbone_place,
    -- A curator's word settles the label; then a name as it is written, found or found to be in doubt; then one that
    -- had to be guessed or dug out; then a higher rank; then nothing.
    CASE
        WHEN strategy = 'override' OR reason = 'overridden' THEN 0
        WHEN strategy IN ('fuzzy', 'hidden_binomial', 'filled') THEN 2
        WHEN is_species_outcome THEN 1
        WHEN reason IS NULL THEN 3
        WHEN reason IN ('conflict', 'ambiguous') THEN 4
        ELSE 5
    END AS grade,
    outcomes.reason,
    outcomes.strategy,
    outcomes.match_type,
    outcomes.taxon_id,
    outcomes.answer_id AS accepted_id,
    CASE
        WHEN outcomes.reason IS NOT NULL THEN 0
        -- Each strategy's own trust, less where nothing of the label's place in the tree speaks for the answer, and
        -- for each of its ranks that speaks against it (two at most).
        ELSE round(
            CASE outcomes.strategy
                WHEN 'override' THEN 1.0
                WHEN 'taxon_key' THEN 1.0
                WHEN 'exact' THEN 1.0
                WHEN 'synonym' THEN 0.95
                WHEN 'rank_context' THEN 0.9
                WHEN 'filled' THEN 0.85
                WHEN 'hidden_binomial' THEN 0.85
                WHEN 'fuzzy' THEN 0.85 - 0.05 * outcomes.distance
                ELSE 0.7
            END::DOUBLE
            - CASE WHEN outcomes.strategy != 'override' AND coalesce(outcomes.agreeing, 0) = 0 THEN 0.05 ELSE 0 END
            - 0.05 * least(coalesce(outcomes.differing, 0), 2),
            2
        )
    END AS confidence,
    taxa.kingdom,
    taxa.phylum,
    taxa.class,
    taxa."order",
    taxa.family,
    taxa.genus,
    taxa.species,
    taxa.scientific_name,
    taxa.resolved_rank,
    common_names.common_name,
    outcomes.detail
FROM (
    SELECT *, true AS is_species_outcome FROM species_outcomes
    UNION ALL BY NAME
    SELECT *, false AS is_species_outcome FROM higher_outcomes
) AS outcomes
LEFT JOIN backbone.taxa AS taxa ON taxa.taxon_id = outcomes.answer_id
LEFT JOIN common_names ON common_names.taxon_id = outcomes.answer_id;
