-- Images over the cap of their species, or of species below the floor. Older generations' images stay and count first.
-- Tables: compared, older, taxa. Variables: cap, floor (null: no such bound).
CREATE TEMP TABLE miscounted AS
WITH kept_before AS (
    SELECT
        taxa.taxon_number,
        count(*) AS images
    FROM older
    INNER JOIN taxa USING (label_id)
    WHERE older.keep
    GROUP BY taxa.taxon_number
),

counted AS (
    SELECT
        compared.uuid,
        coalesce(kept_before.images, 0) + count(*) OVER (PARTITION BY compared.taxon_number) AS images,
        -- In the order of a hash, so that no source or location is preferred.
        coalesce(kept_before.images, 0)
        + row_number() OVER (PARTITION BY compared.taxon_number ORDER BY md5(compared.uuid), compared.uuid) AS place
    FROM compared
    LEFT JOIN kept_before USING (taxon_number)
    WHERE compared.is_species AND compared.objection IS NULL
)

SELECT
    uuid,
    CASE
        WHEN images < getvariable('floor')
            THEN {'reason': 'below_floor', 'detail': images || ' images of its species'}
        ELSE {'reason': 'over_cap', 'detail': images || ' images of its species'}
    END AS objection
FROM counted
WHERE images < getvariable('floor') OR place > getvariable('cap');
