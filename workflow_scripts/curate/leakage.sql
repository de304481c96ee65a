-- One row per downloaded image and benchmark that has it too, with the benchmark's nearest image.
-- Tables: acquired (downloaded images), pictures (numbered benchmark images), near (distances of hashes to pictures).
WITH matched AS (
    SELECT
        acquired.uuid,
        pictures.number,
        0 AS distance,
        true AS same_bytes
    FROM acquired
    INNER JOIN pictures USING (md5)
    UNION ALL
    SELECT
        acquired.uuid,
        near.number,
        near.distance,
        false
    FROM acquired
    INNER JOIN (SELECT DISTINCT * FROM near) AS near USING (pdq)
),

nearest AS (
    SELECT
        matched.uuid,
        pictures.*,
        list_sort(
            list_distinct(list(pictures.position) OVER (PARTITION BY matched.uuid, pictures.benchmark))
        ) AS positions,
        matched.distance,
        matched.same_bytes
    FROM matched
    INNER JOIN pictures USING (number)
    QUALIFY
        row_number() OVER (
            PARTITION BY matched.uuid, pictures.benchmark
            ORDER BY matched.same_bytes DESC, matched.distance, pictures.number
        ) = 1
)

SELECT
    nearest.uuid,
    nearest.benchmark,
    nearest.distance,
    nearest.same_bytes,
    nearest.positions,
    nearest.position,
    nearest.image,
    nearest.path AS benchmark_path,
    nearest."offset" AS benchmark_offset,
    nearest.size AS benchmark_size,
    acquired.part,
    acquired.tar,
    acquired."offset",
    acquired.size
FROM nearest
INNER JOIN acquired USING (uuid)
