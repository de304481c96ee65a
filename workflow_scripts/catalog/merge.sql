-- Merge the records of a generation's sources. `offered`: the sources' records, with `place`, the source's index in the
-- list; `older`: the images of older generations. Variable: sources (the sources' names by place). If a uuid occurs
-- several times, an older generation wins over this one, and an earlier source over a later one.

CREATE OR REPLACE TEMP TABLE taken AS
SELECT uuid, min(place) AS place, count(*) AS times
FROM offered
GROUP BY uuid
HAVING count(*) > 1;

CREATE OR REPLACE TEMP VIEW merged AS
SELECT
    * EXCLUDE (place),
    getvariable('sources')[place + 1] AS catalog_source,
    getvariable('generation')::BIGINT AS generation
FROM offered
WHERE
    uuid NOT IN (SELECT uuid FROM older)
    AND NOT EXISTS (SELECT 1 FROM taken WHERE taken.uuid = offered.uuid AND taken.place < offered.place);

CREATE OR REPLACE TEMP VIEW fates AS
SELECT
    place,
    CASE
        WHEN uuid IN (SELECT uuid FROM older) THEN 'in_older_generation'
        WHEN EXISTS (SELECT 1 FROM taken WHERE taken.uuid = offered.uuid AND taken.place < offered.place)
            THEN 'repeated'
        ELSE 'kept'
    END AS fate
FROM offered;
