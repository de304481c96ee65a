-- Histograms of one judge's scores, with the same range for all classes: label, bin, images, and the range's first, width.
-- Table: own (contract FINDINGS, of one judge). Variable: bins.
WITH scored AS (
    SELECT
        label,
        score
    FROM own
    WHERE score IS NOT NULL
),

range AS (
    SELECT
        floor(min(score) * 20) / 20 AS first,
        greatest(ceil(max(score) * 20) / 20 - first, 0.05) AS width
    FROM scored
)

SELECT
    scored.label,
    least(floor((scored.score - range.first) / range.width * getvariable('bins')), getvariable('bins') - 1)::INTEGER AS bin,
    count(*) AS images,
    any_value(range.first) AS first,
    any_value(range.width) AS width
FROM scored
CROSS JOIN range
GROUP BY scored.label, bin
ORDER BY scored.label, bin
