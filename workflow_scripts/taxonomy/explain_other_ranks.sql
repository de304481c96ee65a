-- Names of the label that the attached `backbone` has at another rank than species. In: `queries`.
SELECT shown(names.key) AS name, names.taxon_id, other_rank(names.rank) AS rank
FROM backbone.names AS names
SEMI JOIN queries ON queries.key = names.key
WHERE NOT names.is_species_level
ORDER BY ALL
LIMIT 3;
