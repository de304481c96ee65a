-- Map your own table to Darwin Core terms. In: `list_rows`. Out: `taxon_rows`.
-- The column `species` contains a binomial or an epithet; a row without one defines the taxon of its lowest rank.
CREATE OR REPLACE TEMP TABLE taxon_rows AS
SELECT * EXCLUDE (species) REPLACE (coalesce("specificEpithet", species) AS "specificEpithet")
FROM list_rows;
