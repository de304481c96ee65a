-- The common names of your own table, English unless its column `language` says otherwise. In: `taxon_rows`.
CREATE OR REPLACE TEMP TABLE vernacular_rows AS
SELECT "taxonID", common AS "vernacularName", coalesce(language, 'en') AS language
FROM taxon_rows
WHERE common IS NOT NULL AND NOT is_comment;
