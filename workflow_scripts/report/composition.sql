-- Training images by taxon. Tables: samples (contract SHARD_INDEX, all training shards), labels (contract LABELS).
WITH counted AS (
    SELECT
        label_id,
        count(*) AS images
    FROM samples
    GROUP BY label_id
)

SELECT
    labels.kingdom,
    labels.phylum,
    labels."class",
    labels."order",
    labels.family,
    labels.genus,
    labels.species,
    sum(counted.images)::BIGINT AS images
FROM counted
INNER JOIN labels USING (label_id)
GROUP BY ALL
