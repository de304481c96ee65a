-- What speaks against images and is known before any is looked at.
-- Tables: catalog, downloads, older, ledger, outside, findings (of the config's judges), rules (what of them refuses),
-- leakage. Variable: camera_trap_max (images).

-- By id, or by the bytes under another id; only the image itself had a place in a shard.
CREATE TEMP TABLE taken AS
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
GROUP BY uuid;

-- Camera traps take long bursts of one scene. A machine's observation may also be a scan or a sound: it counts only
-- where no `img_type` says what it is.
CREATE TEMP TABLE sequences AS
WITH trapped AS (
    SELECT
        uuid,
        data_source,
        occurrence_id,
        occurrence_of(occurrence_id) AS occurrence
    FROM catalog
    WHERE
        occurrence_of(occurrence_id) IS NOT NULL
        AND CASE
            WHEN coalesce(img_type, '') != '' THEN img_type ILIKE 'camera%trap%'
            ELSE squeezed(basisOfRecord) = 'MACHINEOBSERVATION'
        END
),

-- A burst may have begun in an older generation, which keeps what it has; a record that comes again is one image.
begun AS (
    SELECT
        occurrence,
        count(*) AS images
    FROM older
    SEMI JOIN trapped USING (occurrence)
    ANTI JOIN trapped USING (uuid)
    GROUP BY occurrence
)

SELECT
    trapped.data_source,
    trapped.occurrence_id,
    count(*) + coalesce(any_value(begun.images), 0) AS images
FROM trapped
LEFT JOIN begun USING (occurrence)
GROUP BY trapped.data_source, trapped.occurrence_id
HAVING count(*) + coalesce(any_value(begun.images), 0) > getvariable('camera_trap_max');

CREATE TEMP TABLE refused AS
SELECT
    uuid,
    min(reason) AS reason
FROM outside
GROUP BY uuid;

-- What the config's thresholds make of the judges' scores; of several refusals the first by name. The reason says no
-- score, so that a threshold that refuses the same images changes nothing.
CREATE TEMP TABLE screened AS
SELECT
    findings.uuid,
    min(rules.judge || ': ' || rules.reason) AS refusal
FROM findings
INNER JOIN rules
    ON
        findings.judge = rules.judge
        AND findings.label = rules.label
        AND (findings.score >= rules.at_least OR findings.score < rules.below)
GROUP BY findings.uuid;

CREATE TEMP TABLE leaks AS
SELECT
    uuid,
    min_by({'benchmark': benchmark, 'image': image, 'distance': distance}, (distance, benchmark)) AS leak
FROM leakage
GROUP BY uuid;
