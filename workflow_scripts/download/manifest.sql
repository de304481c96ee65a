-- One row per row of the part: what became of it over all passes.
-- Tables: part (the rows to fetch), attempts (a row per image and pass), places (a row per image in a tar).
WITH counted AS (
    SELECT
        *,
        sum(requests) OVER (PARTITION BY uuid) AS all_requests
    FROM attempts
    -- A later pass has only the images that an earlier one left open, so the last attempt is the outcome.
    QUALIFY row_number() OVER (PARTITION BY uuid ORDER BY pass_number DESC) = 1
)

SELECT
    part.uuid,
    part.host,
    last.status,
    last.error,
    CAST(last.all_requests AS BIGINT) AS attempts,
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
    places.size
FROM part
LEFT JOIN counted AS last USING (uuid)
LEFT JOIN places USING (uuid)
