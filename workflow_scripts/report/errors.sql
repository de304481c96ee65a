-- Predictions by taxonomic distance: the lowest rank that the predicted and the true class share.
-- Tables: images (contract BENCHMARK_IMAGES), predictions (PREDICTIONS).
WITH lineages AS (
    SELECT
        "class",
        min(taxon_kingdom) AS kingdom,
        min(taxon_phylum) AS phylum,
        min(taxon_class) AS taxon_class,
        min(taxon_order) AS taxon_order,
        min(taxon_family) AS family,
        min(taxon_genus) AS genus
    FROM images
    GROUP BY "class"
)

SELECT
    CASE
        WHEN correct THEN 'correct'
        WHEN lower(shown.genus) = lower(guess.genus) THEN 'same genus'
        WHEN lower(shown.family) = lower(guess.family) THEN 'same family'
        WHEN lower(shown.taxon_order) = lower(guess.taxon_order) THEN 'same order'
        WHEN lower(shown.taxon_class) = lower(guess.taxon_class) THEN 'same class'
        WHEN lower(shown.phylum) = lower(guess.phylum) THEN 'same phylum'
        WHEN lower(shown.kingdom) = lower(guess.kingdom) THEN 'same kingdom'
        WHEN shown.kingdom IS NULL OR guess.kingdom IS NULL THEN 'ranks unknown'
        ELSE 'another kingdom'
    END AS kind,
    count(*) AS images
FROM predictions
INNER JOIN lineages AS shown ON predictions."class" = shown."class"
INNER JOIN lineages AS guess ON predictions.predicted = guess."class"
GROUP BY kind
