-- The species that labels resolved to, each once, in the order of their names.
SELECT
    kingdom,
    -- Where labels of one species differ above the genus, the one with most images is right.
    arg_max(phylum, (images, label_id)) AS phylum,
    arg_max("class", (images, label_id)) AS "class",
    arg_max("order", (images, label_id)) AS "order",
    arg_max(family, (images, label_id)) AS family,
    genus,
    species,
    -- Of the names that labels brought for one species, the one on most images.
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
-- A name that is no scientific one is the species as a whole.
WHERE species != '' AND (genus != '' OR scientific_name = species)
GROUP BY kingdom, genus, species
ORDER BY kingdom, phylum, "class", "order", family, genus, species
