-- Assign the rows of `todo` to a pass's shards: sorted by uuid, rows with the same URL together, about `images_per_tar`
-- rows per shard. A row's shard depends on the rows alone.
CREATE OR REPLACE TEMP TABLE plan AS
WITH addresses AS (
    SELECT source_url, min(uuid) AS first, count(*) AS images
    FROM todo
    GROUP BY source_url
),

placed AS (
    SELECT
        source_url,
        ((sum(images) OVER (ORDER BY first ROWS UNBOUNDED PRECEDING) - images) // getvariable('images_per_tar'))::BIGINT
            AS shard
    FROM addresses
)

SELECT todo.*, placed.shard
FROM todo
INNER JOIN placed USING (source_url);
