-- Binomials in Title Case, as in folder names, that are species with a lower-case epithet: strategy title_case.
-- In: `titles`, `species_outcomes`, `strategies` and the attached `backbone`. Out: `found`.
CREATE OR REPLACE TEMP TABLE found AS
SELECT titles.label, titles.priority, titles.key AS query, names.key, names.tier, names.taxon_id, names.accepted_id,
    0 AS distance
FROM titles
ANTI JOIN species_outcomes USING (label)
JOIN backbone.names AS names ON names.key = titles.key AND names.is_species_level
WHERE 'title_case' IN (SELECT name FROM strategies);
