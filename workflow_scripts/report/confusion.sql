-- Images by true and predicted taxon at one rank.
-- Tables: images (contract BENCHMARK_IMAGES), predictions (PREDICTIONS). Variables: taxon (the rank's column).
WITH taxa AS (
    SELECT
        "class",
        min(COLUMNS(lambda name: name = getvariable('taxon'))) AS taxon,
        min(concat_ws('/', taxon_kingdom, taxon_phylum, taxon_class, taxon_order, taxon_family)) AS place
    FROM images
    GROUP BY "class"
)

SELECT
    shown.taxon AS true_taxon,
    guess.taxon AS taken_for,
    count(*) AS images,
    min(shown.place) AS place
FROM predictions
INNER JOIN taxa AS shown ON predictions."class" = shown."class"
INNER JOIN taxa AS guess ON predictions.predicted = guess."class"
WHERE shown.taxon IS NOT NULL AND guess.taxon IS NOT NULL
GROUP BY shown.taxon, guess.taxon
ORDER BY place, true_taxon, taken_for
