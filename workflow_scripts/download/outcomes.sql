-- What became of each image over all passes so far. Table: attempts (a row per image and pass).
-- `ban_after` refusals of one host with no good answer between them are a ban: the host's doing, and not the images'.
CREATE OR REPLACE TEMP VIEW outcomes AS
WITH latest AS (
    SELECT
        *,
        (sum(requests) OVER (PARTITION BY uuid))::BIGINT AS all_requests
    FROM attempts
    -- A later pass has only the images that an earlier one left open, so the last attempt is the outcome.
    QUALIFY row_number() OVER (PARTITION BY uuid ORDER BY pass_number DESC) = 1
),

judged AS (
    SELECT
        *,
        status = 'failed' AND count(refusals) OVER (PARTITION BY refusals) >= getvariable('ban_after') AS is_banned
    FROM latest
)

SELECT
    * EXCLUDE (is_banned) REPLACE (
        transient OR is_banned AS transient,
        CASE WHEN is_banned THEN 'deferred' ELSE status END AS status,
        error || CASE WHEN is_banned THEN ' on several requests in a row: probably a temporary ban' ELSE '' END
            AS error
    )
FROM judged;
