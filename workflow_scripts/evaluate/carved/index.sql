-- Variables: species, images, seed, among (lower-case binomials; empty: all) and parts (a folder).
WITH resolved AS (
    -- A species without a genus has a name that is not scientific, kept complete in `species`.
    SELECT * REPLACE (coalesce(genus, '') AS genus)
    FROM labels
    WHERE species IS NOT NULL AND resolved_rank = 'species' AND (genus IS NOT NULL OR scientific_name = species)
),

-- The ranks and common name of each species, from the label with the most images.
written AS (
    SELECT DISTINCT ON (kingdom, genus, species) kingdom, phylum, "class", "order", family, genus, species, common_name
    FROM resolved
    ORDER BY kingdom, genus, species, images DESC, label_id
),

-- Each distinct image once, without images that are labelled as several species.
pictures AS (
    SELECT uuid, kingdom, genus, species, part, tar, "offset", size, md5, pdq
    FROM downloads
    JOIN (SELECT uuid, label_id FROM catalog) USING (uuid)
    JOIN (SELECT label_id, kingdom, genus, species FROM resolved) USING (label_id)
    WHERE downloads.status = 'ok'
    QUALIFY row_number() OVER (PARTITION BY md5 ORDER BY uuid) = 1
        AND min((kingdom, genus, species)) OVER (PARTITION BY md5)
        = max((kingdom, genus, species)) OVER (PARTITION BY md5)
),

-- A random draw of species with enough images: the first ones by a hash of seed and name.
drawn AS (
    SELECT kingdom, genus, species
    FROM pictures
    WHERE len(getvariable('among')) = 0 OR list_contains(getvariable('among'), ltrim(lower(genus || ' ' || species)))
    GROUP BY kingdom, genus, species
    HAVING count(*) >= getvariable('images')
    ORDER BY md5(concat_ws(' ', getvariable('seed'), kingdom, genus, species)), kingdom, genus, species
    LIMIT getvariable('species')
),

numbered AS (
    SELECT *, row_number() OVER (
        PARTITION BY kingdom, genus, species
        ORDER BY md5(concat_ws(' ', getvariable('seed'), uuid)), uuid
    ) AS turn
    FROM pictures
    WHERE EXISTS (
        FROM drawn
        WHERE drawn.kingdom IS NOT DISTINCT FROM pictures.kingdom
            AND drawn.genus = pictures.genus
            AND drawn.species = pictures.species
    )
)

SELECT
    row_number() OVER (ORDER BY numbered.genus, numbered.species, numbered.kingdom, numbered.turn) - 1 AS position,
    uuid AS image,
    getvariable('parts') || '/part-' || lpad(part::VARCHAR, 4, '0') || '/' || tar AS path,
    "offset",
    size,
    md5,
    pdq,
    ltrim(written.genus || ' ' || written.species) AS "class",
    written.kingdom AS taxon_kingdom,
    written.phylum AS taxon_phylum,
    written."class" AS taxon_class,
    written."order" AS taxon_order,
    written.family AS taxon_family,
    nullif(written.genus, '') AS taxon_genus,
    written.species AS taxon_species,
    written.common_name,
    NULL::VARCHAR AS split,
    -- Downloads are stored upright and in sRGB.
    false AS differs
FROM numbered
JOIN written
    ON written.kingdom IS NOT DISTINCT FROM numbered.kingdom
    AND written.genus = numbered.genus
    AND written.species = numbered.species
WHERE turn <= getvariable('images')
