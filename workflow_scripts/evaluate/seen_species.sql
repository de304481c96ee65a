SELECT
    lower(concat_ws(' ', labels.genus, labels.species)) AS species,
    count(*) AS images
FROM verdicts
JOIN labels USING (label_id)
WHERE verdicts.keep
    AND verdicts.split = 'train'
    -- A species without a genus has a name that is not scientific, kept complete in `species`.
    AND (labels.genus IS NOT NULL OR labels.scientific_name = labels.species)
    AND labels.species IS NOT NULL
GROUP BY ALL
