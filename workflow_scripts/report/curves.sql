-- A training run's metrics, thinned to at most `points`: each point is the mean of consecutive lines.
-- Variables: points. View: numbers (the numeric columns of metrics.jsonl, including `step`).
WITH placed AS (
    SELECT
        *,
        row_number() OVER (ORDER BY step) - 1 AS place,
        count(*) OVER () AS lines
    FROM numbers
)

SELECT avg(COLUMNS(* EXCLUDE (place, lines)))
FROM placed
GROUP BY (place * least(getvariable('points'), lines)) // lines
ORDER BY avg(step)
