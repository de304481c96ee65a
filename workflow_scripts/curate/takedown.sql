-- Ledger rows for the images to take down. Tables: catalog, selection (replay pairs), acquired (uuid and md5 of both),
-- verdicts, replayed (uuid and split of the pairs in replay shards), named (uuids).
-- Variables: owner, url, dataset (null: not selected by it).
CREATE TEMP TABLE chosen AS
WITH selected AS (
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
    SEMI JOIN selected USING (uuid)
    WHERE acquired.md5 IS NOT NULL
),

found AS (
    SELECT uuid
    FROM selected
    UNION
    -- The same bytes under another uuid.
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
