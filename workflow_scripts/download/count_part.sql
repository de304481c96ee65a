-- Add the outcomes of one part's images to `counted`, and the images that were not downloaded to `lost`.
-- Tables: catalog (the part's images with their source), manifest (contract DOWNLOADS). Macro: may_come (common.losses).
CREATE OR REPLACE TEMP TABLE ended AS
SELECT
    catalog.source,
    coalesce(manifest.host, '') AS host,
    manifest.status,
    coalesce(split_part(manifest.error, ':', 1), '') AS reason,
    manifest.error,
    manifest.attempts,
    manifest.seconds,
    coalesce(contains(manifest.error, 'was stopped'), false) AS stopped,
    coalesce(may_come(manifest.status, manifest.error, manifest.http_status), false) AS again,
    manifest.uuid,
    coalesce(manifest.unverified, false) AS unverified,
    catalog.source_url
FROM manifest
LEFT JOIN catalog USING (uuid);

INSERT INTO counted
SELECT
    coalesce(source, '') AS catalog_source,
    host,
    status,
    reason,
    count(*) AS images,
    sum(attempts) AS attempts,
    sum(seconds) AS seconds,
    count(seconds) AS timed,
    bool_or(stopped) AS stopped,
    count(*) FILTER (unverified) AS unverified,
    -- Prefer an error with a remedy, then one that says why the host was stopped.
    coalesce(
        min(error) FILTER (contains(error, 'limits.download.hosts')), min(error) FILTER (stopped), min(error)
    ) AS detail,
    count(*) FILTER (again) AS again
FROM ended
GROUP BY ALL;

INSERT INTO lost
SELECT
    source,
    uuid,
    source_url,
    host,
    reason AS cause,
    error AS detail
FROM ended
WHERE status <> 'ok' AND reason <> 'taken_down';
