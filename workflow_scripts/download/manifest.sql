-- The outcome of each row of the part over all passes.
-- Tables: part (the rows to fetch), outcomes (outcomes.sql), places (one row per image in a tar).
SELECT
    part.uuid,
    part.host,
    last.status,
    last.error,
    last.all_requests AS attempts,
    last.http_status,
    last.seconds,
    last.final_url,
    last.retrieved_at,
    last.content_type,
    last.md5,
    last.pdq,
    last.original_width,
    last.original_height,
    last.width,
    last.height,
    places.tar,
    places."offset",
    places.size,
    last.unverified
FROM part
LEFT JOIN outcomes AS last USING (uuid)
LEFT JOIN places USING (uuid)
