-- Whether the failure of an image may be temporary, by its columns of the contract DOWNLOADS.
CREATE OR REPLACE TEMP MACRO may_come(status, error, http_status) AS
    status = 'deferred'
    OR (
        status = 'failed'
        AND (
            split_part(error, ':', 1) IN ('connection', 'unknown_host', 'certificate', 'timeout', 'missing_file')
            OR (starts_with(error, 'http_error') AND (http_status >= 500 OR http_status IN (408, 425, 429)))
        )
    );
