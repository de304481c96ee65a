-- Common names in the rows of taxa, which may list several. A row's language is that of its common names.
-- In: `taxon_rows`. In and out: `vernacular_rows`.
INSERT INTO vernacular_rows BY NAME
SELECT "taxonID", "vernacularName", language, is_comment
FROM taxon_rows
WHERE "vernacularName" IS NOT NULL;
