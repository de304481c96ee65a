SELECT
    lower(concat_ws(' ', labels.genus, labels.species)) AS species,
    count(*) AS images
FROM verdicts
JOIN labels USING (label_id)
WHERE verdicts.keep
    AND verdicts.split = 'train'
    -- Without a genus: the whole of a name that is no scientific one.
    AND (labels.genus IS NOT NULL OR labels.scientific_name = labels.species)
    AND labels.species IS NOT NULL
GROUP BY ALL
