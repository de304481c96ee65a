-- Hosts whose images failed, with the causes, and the slowest hosts. Table: hosts (contract DOWNLOAD_HOSTS).
SELECT
    host,
    sum(images)::BIGINT AS images,
    coalesce(sum(images) FILTER (status <> 'ok'), 0)::BIGINT AS failed,
    coalesce(
        string_agg(reason || ' ' || images, ', ' ORDER BY images DESC, reason) FILTER (status <> 'ok'), ''
    ) AS causes,
    round(sum(seconds * images) / sum(images) FILTER (seconds IS NOT NULL), 2) AS seconds,
    bool_or(stopped) AS stopped
FROM (
    SELECT
        host,
        status,
        reason,
        sum(images)::BIGINT AS images,
        sum(seconds * images) / sum(images) AS seconds,
        bool_or(stopped) AS stopped
    FROM hosts
    WHERE host <> ''
    GROUP BY host, status, reason
)
GROUP BY host
ORDER BY stopped DESC, failed DESC, seconds DESC NULLS LAST, host
LIMIT 40
