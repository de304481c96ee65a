-- The part that all readers share. A reader creates the view `described` (one row per record of its source, every value
-- text or NULL); this creates `judged` (each record with its problem, if any) and `records` (contract SOURCE_RECORDS).

CREATE OR REPLACE TEMP VIEW judged AS
SELECT
    * EXCLUDE (address, is_local),
    address AS source_url,
    CASE WHEN is_local THEN '' ELSE host_of(address) END AS host,
    label_id_of(kingdom, phylum, class, "order", family, genus, species, scientific_name) AS label_id,
    CASE
        WHEN coalesce(uuid, '') = '' AND coalesce(address, '') != '' THEN 'no_uuid'
        WHEN coalesce(address, '') = '' THEN 'no_url'
        WHEN NOT is_local AND host_of(address) = '' THEN 'bad_url'
        -- Which of them shows what is unknown; `|` is not a character of URLs.
        WHEN NOT is_local AND regexp_matches(address, '(?i)(\||[,;]\s+|\s)\s*https?://') THEN 'several_urls'
        WHEN crop_is_bad THEN 'bad_crop'
    END AS problem
FROM (
    SELECT * REPLACE (CASE WHEN is_local THEN address ELSE trim(address, E' \t\r\n') END AS address)
    FROM described
);

-- Memory holds only the repeated uuids, not the source.
CREATE OR REPLACE TEMP TABLE repeated AS
SELECT uuid
FROM judged
WHERE problem IS NULL
GROUP BY uuid
HAVING count(*) > 1;

-- Of several records with the same uuid, the first in the order of all values is kept, so that the choice is
-- deterministic.
CREATE OR REPLACE TEMP VIEW survivors AS
SELECT * EXCLUDE (problem, crop_is_bad)
FROM judged
WHERE problem IS NULL AND uuid NOT IN (SELECT uuid FROM repeated)
UNION ALL BY NAME
SELECT * EXCLUDE (problem, crop_is_bad)
FROM judged
WHERE problem IS NULL AND uuid IN (SELECT uuid FROM repeated)
QUALIFY row_number() OVER (PARTITION BY uuid ORDER BY source_url, label_id, judged) = 1;

-- There are few distinct licences, so each pair of name and link is parsed once.
CREATE OR REPLACE TEMP TABLE licences AS
SELECT
    license_name,
    license_link,
    licence_of(license_name, license_link) AS license
FROM (SELECT DISTINCT license_name, license_link FROM survivors);

CREATE OR REPLACE TEMP VIEW records AS
SELECT survivors.*, licences.license
FROM survivors
LEFT JOIN licences
    ON survivors.license_name IS NOT DISTINCT FROM licences.license_name
    AND survivors.license_link IS NOT DISTINCT FROM licences.license_link;
