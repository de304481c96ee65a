-- The ledger's rows of the images asked for. Tables: catalog, downloads, verdicts, named (uuids).
-- Variables: owner, url, dataset (null: not asked by it).
CREATE TEMP TABLE chosen AS
WITH asked AS (
    SELECT uuid
    FROM catalog
    WHERE
        copyright_owner = getvariable('owner')
        OR creator = getvariable('owner')
        OR source_url = getvariable('url')
        OR dataset_key = getvariable('dataset')
        OR uuid IN (SELECT uuid FROM named)
),

files AS (
    SELECT DISTINCT downloads.md5
    FROM downloads
    SEMI JOIN asked USING (uuid)
    WHERE downloads.md5 IS NOT NULL
),

found AS (
    SELECT uuid
    FROM asked
    UNION
    -- The same bytes under another id.
    SELECT downloads.uuid
    FROM downloads
    SEMI JOIN files USING (md5)
)

SELECT
    found.uuid,
    downloads.md5,
    catalog.generation,
    verdicts.split
FROM found
INNER JOIN catalog USING (uuid)
LEFT JOIN downloads USING (uuid)
LEFT JOIN verdicts USING (uuid)
