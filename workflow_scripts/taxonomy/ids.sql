-- Ids for a list without any: a row's name with its author, and a number from the second row of the same name on.
-- In and out: `taxon_rows`.
CREATE OR REPLACE TEMP TABLE taxon_rows AS
WITH identified AS (
    SELECT
        *,
        concat_ws(' ', row_name(given), given."scientificNameAuthorship") AS name,
        row_number() OVER (PARTITION BY name ORDER BY given) AS place
    FROM taxon_rows AS given
)
SELECT * EXCLUDE (name, place) REPLACE (
    CASE WHEN name != '' THEN name || CASE WHEN place > 1 THEN ' #' || place ELSE '' END END AS "taxonID"
)
FROM identified;
