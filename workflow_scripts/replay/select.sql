-- One row per row of the metadata: a pair with its identity, and the first reason to leave it out, if any.
-- Table: metadata (url, caption, width, height, similarity, punsafe, pwatermark, license, language).
-- Variables: min_size, min_similarity, max_punsafe, max_pwatermark, licenses, languages (null: no filter).
CREATE TEMP TABLE judged AS
WITH cleaned AS (
    SELECT
        * EXCLUDE (caption, url),
        trim(url) AS source_url,
        clean_captions(caption) AS caption,
        -- Host and port, without user name and default port.
        regexp_replace(
            lower(regexp_extract(trim(url), '^(?i:https?)://(?:[^/?#@\s]*@)?([^/?#@\s\\]+)(?:[/?#]\S*)?$', 1)),
            ':(80|443)$', ''
        ) AS host
    FROM metadata
)

SELECT
    source_url,
    host,
    caption,
    md5(source_url || chr(9) || caption) AS pair,
    CASE
        WHEN coalesce(host, '') = ''
            THEN 'bad_url'
        WHEN least(width, height) < getvariable('min_size')
            THEN 'too_small'
        WHEN getvariable('min_similarity') IS NOT NULL AND NOT coalesce(similarity >= getvariable('min_similarity'), false)
            THEN 'low_similarity'
        WHEN punsafe > getvariable('max_punsafe')
            THEN 'unsafe'
        WHEN pwatermark > getvariable('max_pwatermark')
            THEN 'watermark'
        WHEN getvariable('licenses') IS NOT NULL AND NOT coalesce(list_contains(getvariable('licenses'), license), false)
            THEN 'licence'
        WHEN getvariable('languages') IS NOT NULL AND NOT coalesce(list_contains(getvariable('languages'), language), false)
            THEN 'language'
        WHEN coalesce(caption, '') = ''
            THEN 'empty_caption'
    END AS reason
FROM cleaned;

-- The remaining pairs, once each. A hash of the URL decides the split, so that no image is in both.
CREATE TEMP TABLE selected AS
WITH pairs AS (
    SELECT DISTINCT
        pair,
        source_url,
        host,
        caption
    FROM judged
    WHERE reason IS NULL
)

SELECT
    regexp_replace(pair, '(.{8})(.{4})(.{4})(.{4})(.{12})', '\1-\2-\3-\4-\5') AS uuid,
    source_url,
    host,
    NULL AS crop,
    caption,
    CASE WHEN md5_number_lower('split ' || source_url) / pow(2, 64) < getvariable('val_share') THEN 'val' ELSE 'train' END
        AS split
FROM pairs
