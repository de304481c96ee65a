-- One row per selected pair: its shard and position, or the reason why it is left out.
-- Tables: selection (all parts), downloads (all manifests, with the manifest's `folder`), ledger.
-- Variables: seed, samples_per_shard, max_shards (null: no bound).
CREATE TEMP TABLE plan AS
WITH pairs AS (
    SELECT
        selection.uuid,
        selection.split,
        selection.caption,
        downloads.folder,
        downloads.tar,
        downloads."offset",
        downloads.size,
        downloads.md5,
        downloads.status = 'ok' AS ok,
        -- A pair that was taken down leaves its place in a shard empty, so that no other pair moves.
        downloads.status = 'ok' OR ledger.split IS NOT NULL AS has_place,
        split_part(downloads.error, ':', 1) AS failure
    FROM selection
    LEFT JOIN downloads USING (uuid)
    LEFT JOIN ledger USING (uuid)
),

-- The order of a keyed hash: it depends only on the seed and the pairs.
ordered AS (
    SELECT
        *,
        row_number() OVER (
            PARTITION BY split, has_place
            ORDER BY md5(getvariable('seed') || ' ' || uuid), uuid
        ) - 1 AS rank
    FROM pairs
)

SELECT
    * EXCLUDE (rank, ok, has_place, failure),
    CASE WHEN ok THEN rank // getvariable('samples_per_shard') END AS shard,
    rank AS position,
    CASE
        WHEN ok IS NULL THEN 'no_manifest'
        WHEN NOT ok THEN failure
        WHEN split = 'train' AND shard >= getvariable('max_shards') THEN 'beyond_max_shards'
    END AS reason
FROM ordered
ORDER BY split, shard, position
