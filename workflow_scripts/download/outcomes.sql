-- The outcome of each image over all passes so far. Table: attempts (one row per image and pass). Variable: ban_after (this
-- many refusals of a host without a good answer in between are a ban, which says nothing about the images).
CREATE OR REPLACE TEMP VIEW outcomes AS
WITH latest AS (
    SELECT
        *,
        (sum(requests) OVER (PARTITION BY uuid))::BIGINT AS all_requests
    FROM attempts
    -- A later pass contains only images without a final outcome, so the last attempt counts.
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
