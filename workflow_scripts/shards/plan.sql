-- The shard and position of each kept image.
-- Variables: seed, samples_per_shard, groups.
WITH ordered AS (
    -- The global shuffle: the order of a keyed hash, so that neighbours are unrelated whatever the order of rows.
    SELECT
        *,
        row_number() OVER (PARTITION BY split ORDER BY md5(getvariable('seed') || ' ' || uuid), uuid) - 1 AS place
    FROM verdicts
    -- An image that was taken down leaves its place empty, so that no other image moves.
    WHERE keep OR (reason = 'taken_down' AND split IS NOT NULL)
),

numbered AS (
    SELECT
        *,
        place // getvariable('samples_per_shard') AS shard
    FROM ordered
),

totals AS (
    SELECT
        coalesce(max(shard) FILTER (WHERE split = 'train') + 1, 0) AS train_shards,
        coalesce(max(shard) FILTER (WHERE split = 'val') + 1, 0) AS val_shards
    FROM numbered
)

SELECT
    numbered.split,
    numbered.shard,
    row_number() OVER (PARTITION BY numbered.split, numbered.shard ORDER BY numbered.place) - 1 AS position,
    -- Contiguous blocks of nearly equal length over the shards of train, then those of val.
    (numbered.shard + CASE WHEN numbered.split = 'val' THEN totals.train_shards ELSE 0 END)
    * getvariable('groups') // (totals.train_shards + totals.val_shards) AS "group",
    numbered.uuid,
    numbered.label_id,
    numbered.md5,
    numbered.part,
    numbered.tar,
    numbered."offset",
    numbered.size
FROM numbered
CROSS JOIN totals
WHERE numbered.keep
