-- The distinct labels of `catalogue`, each with its number of images (contract PROVIDER_LABELS).
WITH common_names AS (
    SELECT label_id, common, count(*) AS images
    FROM catalogue
    WHERE common IS NOT NULL
    GROUP BY label_id, common
),
preferred AS (
    SELECT label_id, arg_min(common, (-images, common)) AS common
    FROM common_names
    GROUP BY label_id
),
labels AS (
    -- All images of a label have the same eight values; min() picks any of them.
    SELECT
        label_id,
        min(kingdom) AS kingdom,
        min(phylum) AS phylum,
        min(class) AS class,
        min("order") AS "order",
        min(family) AS family,
        min(genus) AS genus,
        min(species) AS species,
        min(scientific_name) AS scientific_name,
        -- Null if records with this label have different taxon ids.
        CASE WHEN count(DISTINCT taxon_key) = 1 THEN min(taxon_key) END AS taxon_key,
        count(*) AS images
    FROM catalogue
    GROUP BY label_id
)
SELECT labels.*, preferred.common
FROM labels
LEFT JOIN preferred USING (label_id)
