-- Reasons to leave out images that are known before images are joined and compared.
-- Tables: catalog, downloads, older, ledger, outside, findings (of the config's judges), rules (findings that refuse an
-- image), leakage. Variable: camera_trap_max (images).

-- Images that were taken down, by uuid, or by their bytes under another uuid; only the former had a place in a shard.
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

-- Long bursts of one scene from camera traps. A machine observation may also be a scan or a sound, so it counts only if
-- `img_type` is empty.
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

-- A burst may have begun in an older generation, whose images stay; a record that appears again counts once.
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

-- Images that the config's thresholds refuse; of several refusals, the first by name. The text has no score, so a new
-- threshold that refuses the same images changes nothing.
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
