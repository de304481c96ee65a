-- What is nearest to a label's binomials that the attached `backbone` does not have, for a curator to look at.
-- In: `queries`. The distances are not held to the limits of `find_fuzzy.sql`.
SELECT
    shown(names.key) AS name,
    names.taxon_id,
    min(damerau_levenshtein(queries.epithet, names.epithet)) AS distance
FROM queries
JOIN backbone.names AS names USING (genus)
WHERE names.epithet IS NOT NULL
GROUP BY ALL
HAVING distance <= 3
ORDER BY distance, name, names.taxon_id
LIMIT 3;
