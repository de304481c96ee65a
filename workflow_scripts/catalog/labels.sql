-- The distinct labels of `catalogue`, with how many images each has (contract PROVIDER_LABELS).
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
    -- All images of a label have the same eight values; min() only picks one of the equal ones.
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
        -- Records that name different taxa by id under one label say nothing together.
        CASE WHEN count(DISTINCT taxon_key) = 1 THEN min(taxon_key) END AS taxon_key,
        count(*) AS images
    FROM catalogue
    GROUP BY label_id
)
SELECT labels.*, preferred.common
FROM labels
LEFT JOIN preferred USING (label_id)
