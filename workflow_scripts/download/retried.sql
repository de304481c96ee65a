-- The manifest after another try: `manifest` with the rows of `retried` in place of its own, their requests added up.
SELECT manifest.*
FROM manifest
WHERE uuid NOT IN (SELECT uuid FROM retried)
UNION ALL BY NAME
SELECT retried.* REPLACE (retried.attempts + manifest.attempts AS attempts)
FROM retried
INNER JOIN manifest USING (uuid)
