-- The rows of `part` that may be had at another time, by their row in `manifest`.
CREATE OR REPLACE TEMP VIEW todo AS
SELECT part.*
FROM part
INNER JOIN manifest USING (uuid)
WHERE
    manifest.status = 'deferred'
    OR (
        manifest.status = 'failed'
        AND (
            split_part(manifest.error, ':', 1) IN ('connection', 'timeout', 'missing_file')
            OR (
                starts_with(manifest.error, 'http_error')
                AND (manifest.http_status >= 500 OR manifest.http_status IN (408, 425, 429))
            )
        )
    );
