-- Epithets without a genus, if the label's family has only one species of that epithet: strategy filled.
-- In: `epithets`, `contexts`, `species_outcomes`, `strategies` and the attached `backbone`. Out: `found`.
CREATE OR REPLACE TEMP TABLE found AS
SELECT epithets.label, 0 AS priority, epithets.epithet AS query, names.key, names.tier, names.taxon_id,
    names.accepted_id, 0 AS distance
FROM epithets
JOIN contexts USING (label)
ANTI JOIN species_outcomes USING (label)
JOIN backbone.names AS names ON names.epithet = epithets.epithet AND names.family = contexts.family
WHERE 'filled' IN (SELECT name FROM strategies);
