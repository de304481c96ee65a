-- Images of one judge by class and source: label, source, images, refused. An image with several scores counts for the
-- highest. Tables: own (contract FINDINGS, of one judge), rules (the thresholds that refuse an image).
WITH judged AS (
    SELECT
        own.uuid,
        arg_max(own.label, coalesce(own.score, 2)) AS label,
        any_value(own.data_source) AS data_source,
        count(rules.label) > 0 AS is_refused
    FROM own
    LEFT JOIN rules
        ON
            own.judge = rules.judge
            AND own.label = rules.label
            AND (own.score >= rules.at_least OR own.score < rules.below)
    GROUP BY own.uuid
)

SELECT
    label,
    data_source,
    count(*) AS images,
    count(*) FILTER (is_refused) AS refused
FROM judged
GROUP BY label, data_source
ORDER BY label, data_source
