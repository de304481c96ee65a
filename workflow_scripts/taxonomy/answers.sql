-- Add this backbone's answer for each label to `answers`, with the taxon's ranks and common name.
-- In: `species_outcomes`, `higher_outcomes`, `languages` and the attached `backbone`.

-- The common names in the wanted languages. A region's form of a language ("en-GB", "English (UK)") comes after all other
-- spellings of the language. Names without a language ("und") are wanted if the checklist states no language at all.
CREATE OR REPLACE TEMP TABLE wanted_names AS
SELECT vernaculars.*, languages.place
FROM backbone.vernaculars AS vernaculars
JOIN languages ON languages.name = vernaculars.language
UNION ALL
SELECT vernaculars.*, languages.place + 500
FROM backbone.vernaculars AS vernaculars
JOIN languages ON languages.name = regexp_extract(vernaculars.language, '^(\p{L}+)(?:[-_]| ?[(,;])', 1)
UNION ALL
SELECT *, 1000 * (SELECT count(*) FROM wanted_languages)
FROM backbone.vernaculars
WHERE
    language = 'und'
    AND NOT EXISTS (SELECT 1 FROM backbone.vernaculars WHERE language != 'und')
    AND EXISTS (SELECT 1 FROM wanted_languages);

-- Each accepted taxon's common name: in the first language that has any, the preferred one, else the most frequent one;
-- ties by alphabet.
CREATE OR REPLACE TEMP TABLE common_names AS
SELECT taxon_id, arg_min(name, (place, NOT is_preferred, -times, name)) AS common_name
FROM wanted_names
GROUP BY taxon_id;

CREATE OR REPLACE TEMP TABLE outcomes AS
SELECT *, true AS is_species_outcome FROM species_outcomes
UNION ALL BY NAME
SELECT *, false AS is_species_outcome FROM higher_outcomes;

-- For taxa without a common name: that of the nearest ancestor, up to the rank `common_names_up_to`.
CREATE OR REPLACE TEMP TABLE higher_common_names AS
WITH named AS (
    SELECT answer_key(taxa) AS key, arg_min(common_names.common_name, taxa.taxon_id) AS common_name
    FROM common_names
    JOIN backbone.taxa AS taxa USING (taxon_id)
    WHERE rank_place(taxa.resolved_rank) >= rank_place(getvariable('common_names_up_to'))
    GROUP BY key
),
nameless AS (
    SELECT taxa.*
    FROM backbone.taxa AS taxa
    SEMI JOIN outcomes ON outcomes.answer_id = taxa.taxon_id
    ANTI JOIN common_names ON common_names.taxon_id = taxa.taxon_id
    WHERE getvariable('common_names_up_to') IS NOT NULL
)
SELECT nameless.taxon_id, arg_max(named.common_name, places.place) AS common_name, max(places.place) AS place
FROM nameless
CROSS JOIN range(1, 7) AS places (place)
JOIN named ON named.key = answer_key_above(nameless, places.place)
GROUP BY nameless.taxon_id;

INSERT INTO answers
SELECT
    outcomes.label,
    getvariable('backbone_place') AS backbone_place,
    -- In order of preference: an override; the outcome for a species name as written, resolved or in doubt; a guessed
    -- or hidden species name; a higher rank; a higher rank in doubt; not found.
    CASE
        WHEN strategy = 'override' OR reason = 'overridden' THEN 0
        WHEN strategy IN ('title_case', 'fuzzy', 'fuzzy_supported', 'hidden_binomial', 'filled') THEN 2
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
        -- The strategy's own confidence, lowered if no rank of the label agrees, for each rank that differs (two at
        -- most), and if the label is doubted.
        ELSE round(
            CASE outcomes.strategy
                WHEN 'override' THEN 1.0
                WHEN 'taxon_key' THEN 1.0
                WHEN 'exact' THEN 1.0
                WHEN 'synonym' THEN 0.95
                WHEN 'author' THEN 0.95
                WHEN 'title_case' THEN 0.95
                WHEN 'rank_context' THEN 0.9
                WHEN 'filled' THEN 0.85
                WHEN 'hidden_binomial' THEN 0.85
                WHEN 'fuzzy' THEN 0.8
                WHEN 'fuzzy_supported' THEN 0.7
                ELSE 0.7
            END::DOUBLE
            - CASE WHEN outcomes.strategy != 'override' AND coalesce(outcomes.agreeing, 0) = 0 THEN 0.05 ELSE 0 END
            - 0.05 * least(coalesce(outcomes.differing, 0), 2)
            - CASE WHEN doubted.label IS NOT NULL AND outcomes.strategy NOT IN ('override', 'taxon_key') THEN 0.2 ELSE 0 END,
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
    higher_common_names.common_name,
    ['kingdom', 'phylum', 'class', 'order', 'family', 'genus'][higher_common_names.place],
    concat_ws(
        '; ',
        outcomes.detail,
        CASE WHEN doubted.label IS NOT NULL AND outcomes.reason IS NULL THEN 'the label has a question mark' END
    )
FROM outcomes
LEFT JOIN (SELECT DISTINCT label FROM read_names WHERE is_doubted) AS doubted ON doubted.label = outcomes.label
LEFT JOIN backbone.taxa AS taxa ON taxa.taxon_id = outcomes.answer_id
LEFT JOIN common_names ON common_names.taxon_id = outcomes.answer_id
LEFT JOIN higher_common_names ON higher_common_names.taxon_id = outcomes.answer_id;
