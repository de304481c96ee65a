-- One row per catalogue row, with the first reason against it that can be seen without comparing kept images.
-- The order of the reasons is contracts.VERDICT_REASONS.
-- Tables: catalog, downloads, taxa, ledger, outside, leakage. Variables: min_size, camera_trap_max (images),
-- exclude_basis, licences (null: all are allowed), unknown_licence ('keep' or 'drop').
WITH taken AS (
    -- By id, or by the bytes under another id; only the image itself had a place in a shard.
    SELECT
        uuid,
        min(date) AS date,
        min(split) AS split
    FROM (
        SELECT
            uuid,
            date,
            split
        FROM ledger
        UNION ALL
        SELECT
            downloads.uuid,
            ledger.date,
            NULL
        FROM downloads
        INNER JOIN ledger USING (md5)
    )
    GROUP BY uuid
),

sequences AS (
    -- Camera traps take long bursts of one scene.
    SELECT
        data_source,
        occurrence_id,
        count(*) AS images
    FROM catalog
    WHERE
        coalesce(trim(occurrence_id), '') <> ''
        AND (img_type ILIKE 'camera%trap%' OR squeezed(basisOfRecord) = 'MACHINEOBSERVATION')
    GROUP BY data_source, occurrence_id
    HAVING count(*) > getvariable('camera_trap_max')
),

refused AS (
    SELECT
        uuid,
        min(reason) AS reason
    FROM outside
    GROUP BY uuid
),

leaks AS (
    SELECT
        uuid,
        min_by({'benchmark': benchmark, 'image': image, 'distance': distance}, (distance, benchmark)) AS leak
    FROM leakage
    GROUP BY uuid
),

acquired AS (
    SELECT
        catalog.uuid,
        catalog.label_id,
        catalog.crop,
        catalog.data_source,
        catalog.occurrence_id,
        catalog.basisOfRecord,
        catalog.license,
        catalog.license_name,
        downloads.md5,
        downloads.part,
        downloads.tar,
        downloads."offset",
        downloads.size,
        downloads.original_width,
        downloads.original_height,
        -- Of a download that did not end well: its reason, from contracts.DOWNLOAD_REASONS.
        CASE WHEN downloads.status <> 'ok' THEN coalesce(split_part(downloads.error, ':', 1), '') END AS failure,
        concat_ws(': ', downloads.status, downloads.error) AS failure_detail
    FROM catalog
    INNER JOIN downloads USING (uuid)
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
    picture_of(acquired.md5, acquired.crop) AS picture,
    -- What must not part between train and val: the photos of one specimen, or at least those of one file.
    coalesce('occurrence ' || nullif(trim(acquired.occurrence_id), ''), 'md5 ' || acquired.md5) AS occurrence,
    taxa.taxon_number,
    taxa.is_species,
    taken.split AS taken_split,
    leaks.leak,
    CASE
        WHEN taken.uuid IS NOT NULL
            THEN {'reason': 'taken_down', 'detail': taken.date}
        WHEN acquired.failure NOT IN ('not_an_image', 'truncated', 'too_large', 'too_small')
            THEN {'reason': 'download_failed', 'detail': acquired.failure_detail}
        WHEN acquired.failure <> 'too_small'
            THEN {'reason': 'unreadable', 'detail': acquired.failure_detail}
        WHEN acquired.failure = 'too_small'
            THEN {'reason': 'too_small', 'detail': acquired.failure_detail}
        WHEN least(acquired.original_width, acquired.original_height) < getvariable('min_size')
            THEN {'reason': 'too_small', 'detail': acquired.original_width || ' x ' || acquired.original_height}
        WHEN list_contains(getvariable('exclude_basis'), squeezed(acquired.basisOfRecord))
            THEN {'reason': 'basis_of_record', 'detail': acquired.basisOfRecord}
        WHEN sequences.images IS NOT NULL
            THEN {'reason': 'camera_trap_sequence', 'detail': sequences.images || ' images of one occurrence'}
        WHEN acquired.license IS NULL AND getvariable('unknown_licence') = 'drop'
            THEN {'reason': 'licence', 'detail': coalesce('not known: ' || acquired.license_name, 'none given')}
        WHEN NOT list_contains(getvariable('licences'), acquired.license)
            THEN {'reason': 'licence', 'detail': acquired.license}
        WHEN refused.uuid IS NOT NULL
            THEN {'reason': 'outside_verdict', 'detail': refused.reason}
        WHEN taxa.objection IS NOT NULL
            THEN taxa.objection
    END AS objection
FROM acquired
INNER JOIN taxa USING (label_id)
LEFT JOIN taken ON acquired.uuid = taken.uuid
LEFT JOIN refused ON acquired.uuid = refused.uuid
LEFT JOIN leaks ON acquired.uuid = leaks.uuid
LEFT JOIN sequences
    ON acquired.data_source = sequences.data_source AND acquired.occurrence_id = sequences.occurrence_id
