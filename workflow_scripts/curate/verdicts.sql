-- One row per candidate: kept or not, why, and in which split.
-- Variable: val_share.
WITH survivors AS (
    -- One image survives of those with the same bytes and crop: an older generation's, else the smallest uuid.
    SELECT
        md5,
        crop,
        coalesce(min(uuid) FILTER (WHERE is_older), min(uuid)) AS survivor
    FROM (
        SELECT
            md5,
            crop,
            uuid,
            false AS is_older
        FROM candidates
        WHERE objection IS NULL
        UNION ALL
        SELECT
            md5,
            crop,
            uuid,
            true
        FROM older
        WHERE keep
    )
    GROUP BY md5, crop
),

compared AS (
    SELECT
        candidates.*,
        CASE
            -- An image that an older generation holds is not taken again, whatever its host sends by now.
            WHEN candidates.objection IS NULL AND held.uuid IS NOT NULL THEN held.uuid
            WHEN candidates.objection IS NULL AND survivors.survivor <> candidates.uuid THEN survivors.survivor
        END AS duplicate_of
    FROM candidates
    LEFT JOIN survivors
        ON candidates.md5 = survivors.md5 AND candidates.crop IS NOT DISTINCT FROM survivors.crop
    LEFT JOIN older AS held ON candidates.uuid = held.uuid AND held.keep
),

settled AS (
    -- Where older generations put an occurrence, it stays.
    SELECT
        occurrence,
        min(split) AS split
    FROM older
    WHERE keep
    GROUP BY occurrence
),

drawn AS (
    -- 52 bits of a hash of the occurrence as a fraction: the same in every generation, whatever else is there.
    SELECT
        compared.uuid,
        compared.taxon,
        compared.occurrence,
        settled.split AS settled,
        coalesce(
            settled.split,
            CASE
                WHEN ('0x' || substr(sha256(compared.occurrence), 1, 13))::BIGINT / 2.0 ** 52 < getvariable('val_share')
                    THEN 'val'
                ELSE 'train'
            END
        ) AS split
    FROM compared
    LEFT JOIN settled USING (occurrence)
    WHERE compared.objection IS NULL AND compared.duplicate_of IS NULL
),

trained AS (
    SELECT taxon
    FROM drawn
    WHERE split = 'train'
    UNION
    SELECT taxa.taxon
    FROM older
    INNER JOIN taxa USING (label_id)
    WHERE older.keep AND older.split = 'train'
),

rescued AS (
    -- Taxa that would have no training image give up their val images, and with them the rest of those occurrences.
    SELECT DISTINCT occurrence
    FROM drawn
    WHERE settled IS NULL AND taxon NOT IN (SELECT taxon FROM trained)
)

SELECT
    compared.uuid,
    compared.label_id,
    CASE WHEN rescued.occurrence IS NOT NULL THEN 'train' ELSE drawn.split END AS split,
    drawn.uuid IS NOT NULL AS keep,
    CASE
        WHEN compared.objection IS NOT NULL THEN compared.objection.reason
        WHEN compared.duplicate_of IS NOT NULL THEN 'duplicate'
    END AS reason,
    CASE
        WHEN compared.objection IS NOT NULL THEN compared.objection.detail
        ELSE compared.duplicate_of
    END AS detail,
    compared.occurrence,
    compared.md5,
    compared.crop,
    compared.part,
    compared.tar,
    compared."offset",
    compared.size
FROM compared
LEFT JOIN drawn ON compared.uuid = drawn.uuid
LEFT JOIN rescued ON drawn.occurrence = rescued.occurrence
