-- A training run's lines, thinned to at most `points`: each point is the mean over lines that follow each other.
-- Variables: points. The view `numbers` holds the numeric columns of metrics.jsonl, `step` among them.
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
