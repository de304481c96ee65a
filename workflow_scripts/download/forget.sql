-- A part's manifest after a takedown: the images are marked as refused without a request, and the other images of the
-- rewritten tars have new locations. Tables: manifest, taken_down (uuids), places (all images in the rewritten tars).
SELECT
    manifest.uuid,
    'refused' AS status,
    'taken_down' AS error,
    0 AS attempts,
    NULL AS http_status,
    NULL AS final_url,
    NULL AS retrieved_at,
    NULL AS content_type,
    NULL AS md5,
    NULL AS pdq,
    NULL AS original_width,
    NULL AS original_height,
    NULL AS width,
    NULL AS height,
    NULL AS tar,
    NULL AS "offset",
    NULL AS size,
    NULL AS unverified
FROM manifest
SEMI JOIN taken_down USING (uuid)
UNION ALL BY NAME
SELECT
    manifest.* REPLACE (
        coalesce(places."offset", manifest."offset") AS "offset",
        coalesce(places.size, manifest.size) AS size
    )
FROM manifest
ANTI JOIN taken_down USING (uuid)
LEFT JOIN places USING (uuid)
