-- The distinct species that labels resolve to, ordered by name.
SELECT
    kingdom,
    -- Where labels of a species differ above the genus, the label with the most images decides.
    arg_max(phylum, (images, label_id)) AS phylum,
    arg_max("class", (images, label_id)) AS "class",
    arg_max("order", (images, label_id)) AS "order",
    arg_max(family, (images, label_id)) AS family,
    genus,
    species,
    -- The common name with the most images.
    coalesce(arg_max(common_name, (images, common_name)) FILTER (common_name IS NOT NULL), '') AS common_name
FROM (
    SELECT
        coalesce(kingdom, '') AS kingdom,
        coalesce(phylum, '') AS phylum,
        coalesce("class", '') AS "class",
        coalesce("order", '') AS "order",
        coalesce(family, '') AS family,
        coalesce(genus, '') AS genus,
        species,
        common_name,
        images,
        label_id,
        scientific_name
    FROM labels
)
-- A name that is not scientific is used as the complete species name.
WHERE species != '' AND (genus != '' OR scientific_name = species)
GROUP BY kingdom, genus, species
ORDER BY kingdom, phylum, "class", "order", family, genus, species
