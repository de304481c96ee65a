-- Replace the archive's own ids by taxonIDs in rows that have both: links may use either.
-- In and out: `taxon_rows`, `vernacular_rows`.
CREATE OR REPLACE TEMP TABLE core_ids AS
SELECT "coreID" AS core_id, min("taxonID") AS id
FROM taxon_rows
WHERE "coreID" IS NOT NULL AND "taxonID" IS NOT NULL
GROUP BY "coreID";

CREATE OR REPLACE TEMP TABLE taxon_rows AS
SELECT given.* REPLACE (
    CASE
        WHEN "parentNameUsageID" IN (SELECT "taxonID" FROM taxon_rows) THEN "parentNameUsageID"
        ELSE coalesce(parent.id, "parentNameUsageID")
    END AS "parentNameUsageID",
    CASE
        WHEN "acceptedNameUsageID" IN (SELECT "taxonID" FROM taxon_rows) THEN "acceptedNameUsageID"
        ELSE coalesce(accepted.id, "acceptedNameUsageID")
    END AS "acceptedNameUsageID"
)
FROM taxon_rows AS given
LEFT JOIN core_ids AS parent ON parent.core_id = given."parentNameUsageID"
LEFT JOIN core_ids AS accepted ON accepted.core_id = given."acceptedNameUsageID";

-- Rows of an extension refer to the core's own ids.
CREATE OR REPLACE TEMP TABLE vernacular_rows AS
SELECT vernacular_rows.* REPLACE (coalesce(core_ids.id, "taxonID") AS "taxonID")
FROM vernacular_rows
LEFT JOIN core_ids ON core_ids.core_id = vernacular_rows."taxonID";
