-- Binomials in columns not meant for species: strategy hidden_binomial.
-- In: `queries`, `species_outcomes`, `strategies` and the attached `backbone`. Out: `found`.
CREATE OR REPLACE TEMP TABLE found AS
SELECT queries.label, queries.priority, queries.key AS query, names.key, names.tier, names.taxon_id,
    names.accepted_id, 0 AS distance
FROM queries
ANTI JOIN species_outcomes USING (label)
JOIN backbone.names AS names ON names.key = queries.key AND names.is_species_level
WHERE queries.is_hidden AND 'hidden_binomial' IN (SELECT name FROM strategies);
