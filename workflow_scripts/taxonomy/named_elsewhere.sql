-- Taxa without a row: accepted names and parents that occur only as an id and a name in other rows.
-- In: `taxon_rows`, `read_ranks`. Out: `named_elsewhere`, in columns of `taxon_rows`.
CREATE TEMP TABLE named_elsewhere AS
WITH pointing AS (
    SELECT "acceptedNameUsageID" AS id, "acceptedNameUsage" AS name, * FROM taxon_rows
    WHERE "acceptedNameUsage" IS NOT NULL AND "acceptedNameUsageID" IS NOT NULL AND NOT is_comment
    UNION ALL
    SELECT "parentNameUsageID", "parentNameUsage", * FROM taxon_rows
    WHERE "parentNameUsage" IS NOT NULL AND "parentNameUsageID" IS NOT NULL AND NOT is_comment
),
-- The ranks above the row that points to a taxon are also above that taxon.
above AS (
    SELECT
        pointing.id,
        pointing.name,
        CASE WHEN place > 10 THEN kingdom END AS kingdom,
        CASE WHEN place > 20 THEN phylum END AS phylum,
        CASE WHEN place > 30 THEN class END AS class,
        CASE WHEN place > 40 THEN "order" END AS "order",
        CASE WHEN place > 50 THEN family END AS family
    FROM pointing
    LEFT JOIN read_ranks ON read_ranks.written = pointing."taxonRank"
    WHERE
        pointing.id NOT IN (SELECT "taxonID" FROM taxon_rows WHERE "taxonID" IS NOT NULL)
        AND NOT regexp_matches(pointing.id, '[|;,]')
)
SELECT
    id AS "taxonID",
    name AS "scientificName",
    min(kingdom) AS kingdom,
    min(phylum) AS phylum,
    min(class) AS class,
    min("order") AS "order",
    min(family) AS family,
    false AS is_comment
FROM above
GROUP BY id, name
QUALIFY row_number() OVER (PARTITION BY id ORDER BY count(*) DESC, name) = 1;
