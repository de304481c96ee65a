-- One row per listed image with an embedding, in the order of the list.
SELECT
    {uuid} AS uuid,
    image,
    nullif(crop, '') AS crop,
    {kept}
    md5,
    bytes,
    make_timestamp_ns(modified) AS modified,
    emb
FROM (
    SELECT
        images.*,
        known.md5,
        known.emb,
        -- The input table may list an image more than once.
        row_number() OVER (PARTITION BY images.image, images.crop ORDER BY images.row) AS occurrence
    FROM images
    INNER JOIN known USING (image, crop, bytes, modified)
)
ORDER BY row
