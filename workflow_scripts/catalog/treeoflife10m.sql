-- TreeOfLife-10M's catalog with the paths of its images. Tables: `given` (catalog.csv, all text), `eol_files` (name,
-- path). Variables: bioscan, inat21 (folders, or NULL).
CREATE OR REPLACE TEMP VIEW joined AS
SELECT
    given.*,
    CASE
        WHEN eol_content_id IS NOT NULL THEN 'eol'
        WHEN bioscan_filename IS NOT NULL THEN 'bioscan'
        WHEN inat21_filename IS NOT NULL THEN 'inat21'
    END AS data_source,
    -- TreeOfLife-10M's own id, which its validation set uses.
    treeoflife_id AS source_id,
    CASE
        WHEN eol_content_id IS NOT NULL
            THEN eol_files.path
        WHEN bioscan_filename IS NOT NULL
            THEN getvariable('bioscan') || '/part' || bioscan_part || '/' || bioscan_filename
        WHEN inat21_filename IS NOT NULL
            THEN getvariable('inat21') || '/' || inat21_cls_name || '/' || inat21_filename
    END AS path
FROM given
LEFT JOIN eol_files ON eol_files.name = eol_content_id || '_' || eol_page_id;
