-- The differences between two tables of resolved labels. In: `old_labels`, `new_labels` (contract LABELS) and
-- `benchmark_classes` (benchmark, class, kingdom, taxon). Out: `changed`, `changed_classes`.

-- Taxa are compared by their names: two backbones have different ids for one species.
CREATE OR REPLACE TEMP MACRO taxon_names(label) AS nullif(
    concat_ws(
        ' ', label.kingdom, label.phylum, label.class, label."order", label.family, label.genus, label.species
    ),
    ''
);

CREATE OR REPLACE TEMP TABLE changed AS
SELECT
    label_id,
    CASE
        WHEN old_labels.label_id IS NULL THEN 'new label'
        WHEN new_labels.label_id IS NULL THEN 'label gone'
        WHEN taxon_names(old_labels) IS NULL THEN 'now resolved'
        WHEN taxon_names(new_labels) IS NULL THEN 'no longer resolved'
        WHEN old_labels.kingdom IS DISTINCT FROM new_labels.kingdom THEN 'another kingdom'
        WHEN old_labels.scientific_name IS DISTINCT FROM new_labels.scientific_name THEN 'another name'
        WHEN taxon_names(old_labels) IS DISTINCT FROM taxon_names(new_labels) THEN 'placed elsewhere'
        WHEN old_labels.common_name IS DISTINCT FROM new_labels.common_name THEN 'another common name'
        ELSE 'another id or reason'
    END AS change,
    coalesce(new_labels.images, old_labels.images) AS images,
    coalesce(
        new_labels.provider_scientific_name, new_labels.provider_species, new_labels.provider_genus,
        old_labels.provider_scientific_name, old_labels.provider_species, old_labels.provider_genus, ''
    ) AS written,
    coalesce(taxon_names(old_labels), 'unresolved: ' || old_labels.reason, '') AS old_taxon,
    coalesce(taxon_names(new_labels), 'unresolved: ' || new_labels.reason, '') AS new_taxon
FROM old_labels
FULL JOIN new_labels USING (label_id)
WHERE
    old_labels.label_id IS NULL
    OR new_labels.label_id IS NULL
    OR taxon_names(old_labels) IS DISTINCT FROM taxon_names(new_labels)
    OR old_labels.scientific_name IS DISTINCT FROM new_labels.scientific_name
    OR old_labels.common_name IS DISTINCT FROM new_labels.common_name
    OR old_labels.accepted_id IS DISTINCT FROM new_labels.accepted_id
    OR old_labels.strategy IS DISTINCT FROM new_labels.strategy
    OR old_labels.reason IS DISTINCT FROM new_labels.reason;

-- Benchmark classes whose taxon gains or loses images of the corpus.
CREATE OR REPLACE TEMP TABLE changed_classes AS
WITH images_of AS (
    SELECT kingdom, scientific_name, sum(images) FILTER (is_old) AS old_images, sum(images) FILTER (NOT is_old) AS new_images
    FROM (
        SELECT lower(kingdom) AS kingdom, lower(scientific_name) AS scientific_name, images, true AS is_old
        FROM old_labels
        UNION ALL
        SELECT lower(kingdom), lower(scientific_name), images, false FROM new_labels
    )
    GROUP BY kingdom, scientific_name
)
SELECT
    classes.benchmark,
    classes.class,
    coalesce(sum(images_of.old_images), 0)::BIGINT AS old_images,
    coalesce(sum(images_of.new_images), 0)::BIGINT AS new_images
FROM benchmark_classes AS classes
JOIN images_of
    ON images_of.scientific_name = lower(classes.taxon)
    AND (classes.kingdom IS NULL OR images_of.kingdom = lower(classes.kingdom))
GROUP BY classes.benchmark, classes.class
HAVING coalesce(sum(images_of.old_images), 0) != coalesce(sum(images_of.new_images), 0);
