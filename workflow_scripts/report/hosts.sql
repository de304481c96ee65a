-- Hosts with failed images and their causes, then the slowest hosts. Table: hosts (contract DOWNLOAD_HOSTS).
-- Per host, status and reason over all generations: images, and the time of those that were timed.
WITH endings AS (
    SELECT
        host,
        status,
        reason,
        sum(images)::BIGINT AS images,
        sum(seconds * images) AS seconds,
        sum(images) FILTER (seconds IS NOT NULL) AS timed,
        bool_or(stopped) AS stopped,
        sum(unverified)::BIGINT AS unverified,
        coalesce(
            min(detail) FILTER (contains(detail, 'limits.download.hosts')), min(detail) FILTER (stopped)
        ) AS why
    FROM hosts
    WHERE host <> ''
    GROUP BY host, status, reason
)

SELECT
    host,
    sum(images)::BIGINT AS images,
    coalesce(sum(images) FILTER (status <> 'ok'), 0)::BIGINT AS failed,
    coalesce(
        string_agg(reason || ' ' || images, ', ' ORDER BY images DESC, reason) FILTER (status <> 'ok'), ''
    ) AS causes,
    round(sum(seconds) / sum(timed), 2) AS seconds,
    bool_or(stopped) AS stopped,
    coalesce(min(why), '') AS why,
    coalesce(sum(unverified), 0)::BIGINT AS unverified
FROM endings
GROUP BY host
ORDER BY stopped DESC, failed DESC, seconds DESC NULLS LAST, host
LIMIT 40
