-- Map a ColDP archive's tables to Darwin Core terms.
-- In: `usage_rows`, `name_rows`, `placed_rows`, `synonym_rows`, `common_rows`; all columns are text.
-- Out: `taxon_rows` and `vernacular_rows`.

CREATE OR REPLACE TEMP TABLE names_of_ids AS
SELECT * FROM name_rows WHERE NOT is_comment AND "ID" IS NOT NULL
QUALIFY row_number() OVER (PARTITION BY "ID" ORDER BY name_rows) = 1;

-- Synonyms as usages. A synonym's id is its own, else its name's; a name that is a synonym of several taxa is one usage
-- with all their ids.
CREATE OR REPLACE TEMP TABLE synonym_usages AS
SELECT
    CASE
        WHEN "ID" IS NOT NULL THEN "ID"
        WHEN "nameID" IN (SELECT "ID" FROM placed_rows WHERE "ID" IS NOT NULL) THEN 'synonym ' || "nameID"
        ELSE "nameID"
    END AS "ID",
    string_agg(DISTINCT "taxonID", '|' ORDER BY "taxonID") AS "parentID",
    any_value("nameID") AS "nameID",
    coalesce(min(status), 'synonym') AS status
FROM synonym_rows
WHERE NOT is_comment
GROUP BY 1, CASE WHEN "ID" IS NULL AND "nameID" IS NULL THEN synonym_rows END;

CREATE OR REPLACE TEMP TABLE all_usages AS
SELECT usage_rows.* FROM usage_rows
UNION ALL BY NAME
SELECT
    placed_rows.* EXCLUDE ("nameID", status),
    coalesce(placed_rows.status, 'accepted') AS status,
    names_of_ids.* EXCLUDE ("ID", status, is_comment),
    names_of_ids.status AS "nameStatus"
FROM placed_rows
JOIN names_of_ids ON names_of_ids."ID" = placed_rows."nameID"
UNION ALL BY NAME
-- Taxa whose name is missing. Their ranks are left out: the lowest would be taken for the name.
SELECT "ID", "parentID", is_comment
FROM placed_rows
ANTI JOIN names_of_ids ON names_of_ids."ID" = placed_rows."nameID"
UNION ALL BY NAME
SELECT
    synonym_usages."ID",
    synonym_usages."parentID",
    synonym_usages.status,
    names_of_ids.* EXCLUDE ("ID", status, is_comment),
    names_of_ids.status AS "nameStatus",
    false AS is_comment
FROM synonym_usages
LEFT JOIN names_of_ids ON names_of_ids."ID" = synonym_usages."nameID"
UNION ALL BY NAME
-- Names that no taxon or synonym refers to: bare names.
SELECT name_rows.* REPLACE ('bare name' AS status)
FROM name_rows
WHERE
    "ID" IS NULL
    OR (
        "ID" NOT IN (SELECT "nameID" FROM placed_rows WHERE "nameID" IS NOT NULL)
        AND "ID" NOT IN (SELECT "nameID" FROM synonym_rows WHERE "nameID" IS NOT NULL)
    );

-- In ColDP a synonym's parent is its accepted name; `usages.sql` decides which rows are synonyms.
CREATE OR REPLACE TEMP TABLE taxon_rows AS
SELECT
    "ID" AS "taxonID",
    "parentID" AS "parentNameUsageID",
    NULL::VARCHAR AS "acceptedNameUsageID",
    coalesce("scientificName", uninomial) AS "scientificName",
    rank AS "taxonRank",
    CASE WHEN lower(provisional) IN ('true', '1', 'yes', 't') THEN 'provisionally accepted' ELSE status END
        AS "taxonomicStatus",
    NULL::VARCHAR AS "canonicalName",
    authorship AS "scientificNameAuthorship",
    kingdom,
    phylum,
    class,
    "order",
    family,
    genus,
    "nameStatus" AS "nomenclaturalStatus",
    "genericName",
    "infragenericEpithet",
    "specificEpithet",
    "infraspecificEpithet",
    NULL::VARCHAR AS "parentNameUsage",
    NULL::VARCHAR AS "acceptedNameUsage",
    is_comment
FROM all_usages;

SET VARIABLE synonyms_have_parents = true;

CREATE OR REPLACE TEMP TABLE vernacular_rows AS
SELECT "taxonID", name AS "vernacularName", language, preferred AS "isPreferredName", is_comment
FROM common_rows;
