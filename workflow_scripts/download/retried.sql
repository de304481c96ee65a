-- The manifest after another try: `manifest` with the rows of `fetched` in place of its own, their requests added up.
-- `places` says where the images that came lie now.
SELECT manifest.*
FROM manifest
WHERE uuid NOT IN (SELECT uuid FROM fetched)
UNION ALL BY NAME
SELECT
    fetched.* REPLACE (
        fetched.attempts + manifest.attempts AS attempts,
        places.tar AS tar,
        places."offset" AS "offset",
        places.size AS size
    )
FROM fetched
INNER JOIN manifest USING (uuid)
LEFT JOIN places USING (uuid)
