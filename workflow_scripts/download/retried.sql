-- The manifest after a retry: rows of `fetched` replace those of `manifest`, with the attempts added up. `places` has the
-- locations of the downloaded images.
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
