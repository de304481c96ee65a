-- One row per catalogue row, with the first reason against it that can be seen without comparing kept images.
-- The order of the reasons is contracts.VERDICT_REASONS.
-- Variables: min_size (pixels), placeholder_taxa.
CREATE TEMP TABLE candidates AS
WITH acquired AS (
    SELECT
        catalog.uuid,
        catalog.label_id,
        catalog.crop,
        downloads.* EXCLUDE (uuid),
        -- Of a download that did not end well: its reason, from contracts.DOWNLOAD_REASONS.
        CASE WHEN downloads.status <> 'ok' THEN coalesce(split_part(downloads.error, ':', 1), '') END AS failure,
        concat_ws(': ', downloads.status, downloads.error) AS failure_detail,
        -- What must not part between train and val: the photos of one specimen, or at least those of one file.
        coalesce('occurrence ' || nullif(trim(catalog.occurrence_id), ''), 'md5 ' || downloads.md5) AS occurrence
    FROM catalog
    INNER JOIN downloads USING (uuid)
),

pictures AS (
    -- Every picture that the corpus has met under every species. Crops of one frame are pictures of their own.
    SELECT DISTINCT
        seen.md5,
        seen.crop,
        taxa.taxon
    FROM (
        SELECT
            md5,
            crop,
            label_id
        FROM acquired
        UNION ALL
        SELECT
            md5,
            crop,
            label_id
        FROM older
    ) AS seen
    INNER JOIN taxa USING (label_id)
    WHERE seen.md5 IS NOT NULL AND taxa.is_species
),

placeholders AS (
    SELECT
        md5,
        crop,
        count(*) AS species
    FROM pictures
    GROUP BY md5, crop
    HAVING count(*) >= getvariable('placeholder_taxa')
)

SELECT
    acquired.uuid,
    acquired.label_id,
    acquired.crop,
    acquired.md5,
    acquired.part,
    acquired.tar,
    acquired."offset",
    acquired.size,
    acquired.occurrence,
    taxa.taxon,
    CASE
        WHEN acquired.failure NOT IN ('not_an_image', 'truncated', 'too_large', 'too_small')
            THEN {'reason': 'download_failed', 'detail': acquired.failure_detail}
        WHEN acquired.failure <> 'too_small'
            THEN {'reason': 'unreadable', 'detail': acquired.failure_detail}
        WHEN acquired.failure = 'too_small'
            THEN {'reason': 'too_small', 'detail': acquired.failure_detail}
        WHEN least(acquired.original_width, acquired.original_height) < getvariable('min_size')
            THEN {'reason': 'too_small', 'detail': acquired.original_width || ' x ' || acquired.original_height}
        WHEN taxa.objection IS NOT NULL
            THEN taxa.objection
        WHEN placeholders.species IS NOT NULL
            THEN {'reason': 'placeholder', 'detail': 'one picture under ' || placeholders.species || ' species'}
    END AS objection
FROM acquired
INNER JOIN taxa USING (label_id)
LEFT JOIN placeholders
    ON acquired.md5 = placeholders.md5 AND acquired.crop IS NOT DISTINCT FROM placeholders.crop;
