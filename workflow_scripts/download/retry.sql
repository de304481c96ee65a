-- The rows of `part` that may be had at another time (macro may_come), by their row in `manifest`.
CREATE OR REPLACE TEMP VIEW todo AS
SELECT part.*
FROM part
INNER JOIN manifest USING (uuid)
WHERE may_come(manifest.status, manifest.error, manifest.http_status);
