-- One's own list in Darwin Core's terms. In: `list_rows`. Out: `taxon_rows`, with the common names.
-- The column species holds a binomial or an epithet; a row without one names its lowest rank.
CREATE OR REPLACE TEMP TABLE taxon_rows AS
SELECT * EXCLUDE (species) REPLACE (coalesce("specificEpithet", species) AS "specificEpithet")
FROM list_rows;
