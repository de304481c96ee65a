-- A ColDP archive's tables as `backbone.sql` reads them: Darwin Core's terms.
-- In: `usage_rows` and `common_rows`, everything text or NULL. Out: `taxon_rows` and `vernacular_rows`.

-- In ColDP a synonym's parent is its accepted name. A bare name names no taxon.
CREATE TEMP TABLE taxon_rows AS
SELECT
    "ID" AS "taxonID",
    CASE WHEN NOT is_synonym THEN "parentID" END AS "parentNameUsageID",
    CASE WHEN is_synonym THEN "parentID" END AS "acceptedNameUsageID",
    "scientificName",
    rank AS "taxonRank",
    CASE
        WHEN status_key = 'provisionally accepted' THEN 'doubtful'
        WHEN status_key = 'bare name' THEN 'misapplied'
        ELSE status_key
    END AS "taxonomicStatus",
    NULL::VARCHAR AS "canonicalName",
    authorship AS "scientificNameAuthorship",
    kingdom,
    phylum,
    class,
    "order",
    family,
    genus
FROM (
    SELECT
        *,
        replace(lower(coalesce(status, '')), '_', ' ') AS status_key,
        status_key LIKE '%synonym%' OR status_key = 'misapplied' AS is_synonym
    FROM usage_rows
);

CREATE TEMP TABLE vernacular_rows AS
SELECT "taxonID", name AS "vernacularName", language
FROM common_rows;
