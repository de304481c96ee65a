-- The names nearest to a label's binomials, for a curator to consider. In: `queries` and the attached `backbone`.
-- Unlike `find_fuzzy.sql`, any epithet of the genus that differs by at most three letters is listed.
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
