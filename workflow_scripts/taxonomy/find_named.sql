-- Binomials in the columns meant for species, spelt as in the backbone: strategies exact, synonym, author, rank_context.
-- In: `queries`, `species_outcomes`, `strategies` and the attached `backbone`. Out: `found`.
CREATE OR REPLACE TEMP TABLE found AS
SELECT queries.label, queries.priority, queries.key AS query, names.key, names.tier, names.taxon_id,
    names.accepted_id, 0 AS distance
FROM queries
ANTI JOIN species_outcomes USING (label)
JOIN (
    SELECT key AS spelling, key, tier, taxon_id, accepted_id
    FROM backbone.names
    WHERE is_species_level
    UNION ALL
    SELECT unnest(spellings), key, tier, taxon_id, accepted_id
    FROM backbone.names
    WHERE spellings IS NOT NULL
) AS names ON names.spelling = queries.key
WHERE
    NOT queries.is_hidden
    AND CASE WHEN names.tier = 1 THEN 'synonym' ELSE 'exact' END IN (SELECT name FROM strategies);
