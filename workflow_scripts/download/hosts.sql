-- The outcomes of each source's and host's images. Table: counted (count_part.sql).
SELECT
    catalog_source,
    host,
    status,
    reason,
    sum(images)::BIGINT AS images,
    sum(attempts)::BIGINT AS attempts,
    round(sum(seconds) / sum(timed), 3) AS seconds,
    bool_or(stopped) AS stopped,
    sum(unverified)::BIGINT AS unverified,
    coalesce(
        min(detail) FILTER (contains(detail, 'limits.download.hosts')), min(detail) FILTER (stopped), min(detail)
    ) AS detail,
    sum(again)::BIGINT AS again
FROM counted
GROUP BY ALL
