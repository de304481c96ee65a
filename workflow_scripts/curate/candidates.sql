-- One row per catalog row of a span of uuids, with the first reason to leave it out that does not depend on comparisons
-- of images, in the order of contracts.VERDICT_REASONS.
-- Tables: ordered (the catalog by uuid), downloads, taxa, taken, sequences, refused, screened, leaks.
-- Variables: first, beyond, min_size, val_share, exclude_basis, licences (null: all are allowed), unknown_licence
-- ('keep' or 'drop').
WITH acquired AS (
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
        -- The reason of a failed download, from contracts.DOWNLOAD_REASONS.
        CASE WHEN downloads.status <> 'ok' THEN coalesce(split_part(downloads.error, ':', 1), '') END AS failure,
        concat_ws(': ', downloads.status, downloads.error) AS failure_detail
    FROM ordered AS catalog
    INNER JOIN downloads USING (uuid)
    WHERE in_span(catalog.uuid) AND in_span(downloads.uuid)
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
    -- Images that must be in the same split: the photos of one occurrence, or at least those of one file.
    coalesce(occurrence_of(acquired.occurrence_id), 'md5 ' || acquired.md5) AS occurrence,
    -- 52 bits of a hash of the occurrence as a fraction: the same in every generation, whatever other images there are.
    ('0x' || substr(sha256(occurrence), 1, 13))::BIGINT / 2.0 ** 52 < getvariable('val_share') AS is_drawn_for_val,
    taxa.taxon_number,
    taxa.is_species,
    taken.split AS taken_split,
    leaks.leak,
    CASE
        WHEN taken.uuid IS NOT NULL
            THEN {'reason': 'taken_down', 'detail': taken.date}
        WHEN acquired.failure NOT IN ('not_an_image', 'unsupported', 'truncated', 'too_large', 'too_small')
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
        WHEN screened.uuid IS NOT NULL
            THEN {'reason': 'screened', 'detail': screened.refusal}
        WHEN taxa.objection IS NOT NULL
            THEN taxa.objection
    END AS objection
FROM acquired
INNER JOIN taxa USING (label_id)
LEFT JOIN taken ON acquired.uuid = taken.uuid
LEFT JOIN refused ON acquired.uuid = refused.uuid
LEFT JOIN screened ON acquired.uuid = screened.uuid
LEFT JOIN leaks ON acquired.uuid = leaks.uuid
LEFT JOIN sequences
    ON acquired.data_source = sequences.data_source AND acquired.occurrence_id = sequences.occurrence_id
