-- A benchmark's classes: a model's accuracy on each, and its training images.
-- Tables: images (contract BENCHMARK_IMAGES), predictions (PREDICTIONS), composition (COMPOSITION), labels (LABELS).
WITH named AS (
    SELECT
        "class",
        -- Without ranks, the class name may be a binomial.
        lower(min(coalesce(taxon_genus || ' ' || taxon_species, replace("class", '_', ' ')))) AS species
    FROM images
    GROUP BY "class"
),

scored AS (
    SELECT
        "class",
        count(*) AS images,
        count(*) FILTER (correct) AS correct
    FROM predictions
    GROUP BY "class"
),

-- The class that is most often predicted instead of each.
mistaken AS (
    SELECT
        "class",
        arg_min(predicted, (-images, predicted)) AS taken_for
    FROM (SELECT "class", predicted, count(*) AS images FROM predictions WHERE NOT correct GROUP BY ALL)
    GROUP BY "class"
),

trained AS (
    SELECT
        lower(genus || ' ' || species) AS species,
        min(genus || ' ' || species) AS written,
        sum(images)::BIGINT AS images
    FROM composition
    WHERE genus IS NOT NULL AND species IS NOT NULL
    GROUP BY ALL
),

-- Provider names of species that resolve to another name.
renamed AS (
    SELECT
        provided AS species,
        arg_max(resolved, (images, resolved)) AS resolved
    FROM (
        SELECT
            unnest([lower(provider_scientific_name), lower(provider_genus || ' ' || provider_species)]) AS provided,
            lower(genus || ' ' || species) AS resolved,
            images
        FROM labels
        WHERE genus IS NOT NULL AND species IS NOT NULL
    )
    WHERE provided <> resolved AND provided IN (SELECT species FROM named)
    GROUP BY provided
)

SELECT
    scored."class" AS name,
    scored.images,
    scored.correct,
    coalesce(mistaken.taken_for, '') AS taken_for,
    coalesce(own.images, 0) AS trained,
    CASE WHEN own.images IS NULL THEN other.written END AS other_name,
    CASE WHEN own.images IS NULL THEN other.images END AS trained_by_other_name
FROM scored
INNER JOIN named USING ("class")
LEFT JOIN mistaken USING ("class")
LEFT JOIN trained AS own ON named.species = own.species
LEFT JOIN renamed ON named.species = renamed.species
LEFT JOIN trained AS other ON renamed.resolved = other.species
ORDER BY scored.correct / scored.images, scored.images DESC, name
