SELECT
    lower(labels.genus || ' ' || labels.species) AS species,
    count(*) AS images
FROM verdicts
JOIN labels USING (label_id)
WHERE verdicts.keep
    AND verdicts.split = 'train'
    AND labels.genus IS NOT NULL
    AND labels.species IS NOT NULL
GROUP BY ALL
