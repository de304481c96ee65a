-- Create the view `described` of a table of images. `named` has the table's columns under their names in the contract.

CREATE OR REPLACE TEMP VIEW measured AS
SELECT
    -- A column of files may hold URLs, as in camera-trap data packages (Camtrap DP).
    * REPLACE (
        CASE WHEN host_of(path) = '' THEN path END AS path,
        CASE WHEN host_of(path) != '' THEN path ELSE url END AS url
    ),
    try_cast(replace(x, getvariable('decimal'), '.') AS DOUBLE) AS left_edge,
    try_cast(replace(y, getvariable('decimal'), '.') AS DOUBLE) AS upper_edge,
    try_cast(replace(width, getvariable('decimal'), '.') AS DOUBLE) AS crop_width,
    try_cast(replace(height, getvariable('decimal'), '.') AS DOUBLE) AS crop_height,
    getvariable('has_crops') AND coalesce(x, y, width, height) IS NOT NULL AS is_crop
FROM named;

CREATE OR REPLACE TEMP VIEW cropped AS
SELECT
    *,
    is_crop AND NOT coalesce(
        least(left_edge, upper_edge) >= 0
        AND least(crop_width, crop_height) >= 1
        AND greatest(left_edge, upper_edge, crop_width, crop_height) < 2147483647
        -- least() ignores NULL, but a missing or non-numeric side makes the sum NULL.
        AND left_edge + upper_edge + crop_width + crop_height IS NOT NULL,
        false
    ) AS crop_is_bad
FROM measured;

CREATE OR REPLACE TEMP VIEW placed AS
SELECT
    *,
    CASE
        WHEN is_crop AND NOT crop_is_bad THEN {
            x: round(left_edge)::BIGINT,
            y: round(upper_edge)::BIGINT,
            width: round(crop_width)::BIGINT,
            height: round(crop_height)::BIGINT
        }
    END AS crop
FROM cropped;

CREATE OR REPLACE TEMP VIEW described AS
SELECT
    -- A hash of the values that identify the medium, as written in the table; it depends neither on labels nor on the
    -- location of the image folder.
    CASE
        WHEN coalesce(path, url) IS NOT NULL THEN CAST(CAST(md5(joined_texts([
            getvariable('source_name'),
            source_id,
            coalesce(path, url),
            crop.x || ' ' || crop.y || ' ' || crop.width || ' ' || crop.height
        ])) AS UUID) AS VARCHAR)
        ELSE ''
    END AS uuid,
    coalesce(data_source, getvariable('source_name')) AS data_source,
    source_id,
    CASE
        WHEN path IS NULL THEN url
        WHEN starts_with(path, '/') THEN path
        -- Windows uses `\`.
        ELSE getvariable('images') || '/' || replace(path, '\', '/')
    END AS address,
    path IS NOT NULL AS is_local,
    kingdom,
    phylum,
    class,
    "order",
    family,
    genus,
    species,
    scientific_name,
    common,
    publisher,
    dataset_key,
    "basisOfRecord",
    img_type,
    occurrence_id,
    crop,
    crop_is_bad,
    coalesce(license_name, license) AS license_name,
    copyright_owner,
    creator,
    license_link,
    title,
    kept
FROM placed;
