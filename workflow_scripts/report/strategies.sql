-- Distinct labels and their images, by match type and strategy.
SELECT
    match_type,
    strategy,
    count(*) AS labels,
    coalesce(sum(images), 0)::BIGINT AS images
FROM labels
GROUP BY match_type, strategy
ORDER BY labels DESC, match_type, strategy
