-- Splits, as far as they depend on other images.
-- Tables: compared, miscounted, older, taxa.

-- An occurrence stays in the split that older generations gave it.
CREATE TEMP TABLE settled AS
SELECT
    occurrence,
    min(split) AS split
FROM older
SEMI JOIN candidates USING (occurrence)
WHERE split IS NOT NULL
GROUP BY occurrence;

CREATE TEMP VIEW drawn AS
SELECT
    compared.* EXCLUDE (objection, is_drawn_for_val),
    coalesce(compared.objection, miscounted.objection) AS objection,
    settled.split IS NOT NULL AS is_settled,
    CASE
        WHEN compared.objection IS NOT NULL OR miscounted.uuid IS NOT NULL THEN compared.taken_split
        WHEN settled.split IS NOT NULL THEN settled.split
        WHEN compared.is_drawn_for_val THEN 'val'
        ELSE 'train'
    END AS split
FROM compared
LEFT JOIN miscounted ON compared.uuid = miscounted.uuid
LEFT JOIN settled ON compared.occurrence = settled.occurrence;

-- Occurrences in val of taxa that have no training image: they go to train. An image that was taken down still counts,
-- so that a takedown moves no other image.
CREATE TEMP TABLE rescued AS
WITH trained AS (
    SELECT taxon_number
    FROM drawn
    WHERE split = 'train'
    UNION
    SELECT taxa.taxon_number
    FROM older
    INNER JOIN taxa USING (label_id)
    WHERE older.split = 'train'
)

SELECT DISTINCT occurrence
FROM drawn
ANTI JOIN trained USING (taxon_number)
WHERE split = 'val' AND objection IS NULL AND NOT is_settled;
