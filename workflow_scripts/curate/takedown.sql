-- The ledger's rows of the images asked for. Tables: catalog, selection (replay pairs), acquired (of both: uuid, md5),
-- verdicts, replayed (uuid and split of the pairs in replay's shards), named (uuids).
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
    UNION
    SELECT uuid
    FROM selection
    WHERE
        source_url = getvariable('url')
        OR uuid IN (SELECT uuid FROM named)
),

files AS (
    SELECT DISTINCT acquired.md5
    FROM acquired
    SEMI JOIN asked USING (uuid)
    WHERE acquired.md5 IS NOT NULL
),

found AS (
    SELECT uuid
    FROM asked
    UNION
    -- The same bytes under another id.
    SELECT acquired.uuid
    FROM acquired
    SEMI JOIN files USING (md5)
)

SELECT
    found.uuid,
    acquired.md5,
    catalog.generation,
    coalesce(verdicts.split, replayed.split) AS split
FROM found
LEFT JOIN catalog USING (uuid)
LEFT JOIN acquired USING (uuid)
LEFT JOIN verdicts USING (uuid)
LEFT JOIN replayed USING (uuid)
