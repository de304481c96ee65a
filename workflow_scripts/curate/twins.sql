-- Placeholders and duplicates. Only pictures that occur more than once are compared.
-- Tables: candidates, older, taxa. Variable: placeholder_taxa.
CREATE TEMP TABLE repeated AS
SELECT picture
FROM (
    SELECT picture
    FROM candidates
    UNION ALL
    SELECT picture_of(md5, crop)
    FROM older
)
WHERE picture IS NOT NULL
GROUP BY picture
HAVING count(*) > 1;

CREATE TEMP TABLE twins AS
SELECT
    picture,
    uuid,
    taxon_number,
    is_species,
    false AS is_older,
    objection IS NULL AND leak IS NULL AS is_good
FROM candidates
SEMI JOIN repeated USING (picture)
UNION ALL
SELECT
    old.picture,
    old.uuid,
    taxa.taxon_number,
    taxa.is_species,
    true,
    old.keep
FROM (
    SELECT
        *,
        picture_of(md5, crop) AS picture
    FROM older
) AS old
SEMI JOIN repeated USING (picture)
INNER JOIN taxa USING (label_id);

-- Pictures that occur under too many species of the corpus.
CREATE TEMP TABLE placeholders AS
SELECT
    picture,
    count(DISTINCT taxon_number) AS species
FROM twins
WHERE is_species
GROUP BY picture
HAVING count(DISTINCT taxon_number) >= getvariable('placeholder_taxa');

-- Of images with the same picture one is kept: an older generation's, else the one with the smallest uuid.
CREATE TEMP TABLE duplicates AS
SELECT
    twins.uuid,
    survivors.survivor
FROM twins
INNER JOIN (
    SELECT
        picture,
        coalesce(min(uuid) FILTER (WHERE is_older), min(uuid)) AS survivor
    FROM twins
    WHERE is_good
    GROUP BY picture
) AS survivors USING (picture)
WHERE NOT twins.is_older AND twins.uuid <> survivors.survivor;

-- An image that an older generation keeps is not taken again, whatever its host sends now.
CREATE TEMP TABLE kept_before AS
SELECT candidates.uuid
FROM candidates
SEMI JOIN (SELECT uuid FROM older WHERE keep) AS older USING (uuid);

-- One row per candidate with the first reason to leave it out, except for the counts of its species.
CREATE TEMP VIEW compared AS
SELECT
    candidates.* EXCLUDE (objection, leak, picture),
    CASE
        WHEN candidates.objection IS NOT NULL
            THEN candidates.objection
        WHEN placeholders.species IS NOT NULL
            THEN {'reason': 'placeholder', 'detail': 'one picture under ' || placeholders.species || ' species'}
        WHEN candidates.leak IS NOT NULL
            THEN {
                'reason': 'leakage',
                'detail': candidates.leak.benchmark || ': ' || candidates.leak.image || ', ' || candidates.leak.distance
                || ' bits apart'
            }
        WHEN kept_before.uuid IS NOT NULL
            THEN {'reason': 'duplicate', 'detail': kept_before.uuid}
        WHEN duplicates.uuid IS NOT NULL
            THEN {'reason': 'duplicate', 'detail': duplicates.survivor}
    END AS objection
FROM candidates
LEFT JOIN placeholders USING (picture)
LEFT JOIN duplicates ON candidates.uuid = duplicates.uuid
LEFT JOIN kept_before ON candidates.uuid = kept_before.uuid;
