-- The species that labels resolved to, each once, in the order of their names.
SELECT
    coalesce(kingdom, '') AS kingdom,
    coalesce(phylum, '') AS phylum,
    coalesce("class", '') AS "class",
    coalesce("order", '') AS "order",
    coalesce(family, '') AS family,
    genus,
    species,
    -- Of the names that labels brought for one species, the one on most images.
    coalesce(arg_max(common_name, (images, common_name)) FILTER (common_name IS NOT NULL), '') AS common_name
FROM labels
WHERE coalesce(genus, '') != '' AND coalesce(species, '') != ''
GROUP BY ALL
ORDER BY ALL
