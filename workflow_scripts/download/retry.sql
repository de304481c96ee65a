-- The rows of `part` worth requesting again (macro may_come), by their row in `manifest`.
CREATE OR REPLACE TEMP VIEW todo AS
SELECT part.*
FROM part
INNER JOIN manifest USING (uuid)
WHERE may_come(manifest.status, manifest.error, manifest.http_status);
