-- What became of the images of each host. Table: gathered (contract GATHERED_DOWNLOADS).
SELECT
    coalesce(host, '') AS host,
    status,
    coalesce(split_part(error, ':', 1), '') AS reason,
    count(*) AS images,
    sum(attempts)::BIGINT AS attempts,
    round(avg(seconds), 3) AS seconds,
    coalesce(bool_or(contains(error, 'was stopped')), false) AS stopped,
    count(*) FILTER (unverified) AS unverified,
    min(error) AS detail
FROM gathered
GROUP BY ALL
