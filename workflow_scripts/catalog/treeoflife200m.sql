-- Create the view `described` of TreeOfLife-200M. `named` has the catalog's columns under their names in the contract,
-- `provenance` the licences and owners.

-- One row of provenance per uuid of `named`, chosen deterministically.
CREATE OR REPLACE TEMP VIEW terms AS
SELECT
    uuid,
    min({license_name: license_name, license_link: license_link, copyright_owner: copyright_owner, title: title}) AS term
FROM provenance
WHERE uuid IN (SELECT uuid FROM named)
GROUP BY uuid;

-- One box per uuid, from the table `crops` (x, y, width, height as text).
CREATE OR REPLACE TEMP VIEW boxes AS
WITH measured AS (
    SELECT
        uuid,
        {
            x: try_cast(round(try_cast(x AS DOUBLE)) AS INTEGER)::BIGINT,
            y: try_cast(round(try_cast(y AS DOUBLE)) AS INTEGER)::BIGINT,
            width: try_cast(round(try_cast(width AS DOUBLE)) AS INTEGER)::BIGINT,
            height: try_cast(round(try_cast(height AS DOUBLE)) AS INTEGER)::BIGINT
        } AS crop
    FROM crops
)

SELECT
    uuid,
    min(crop) AS crop,
    NOT coalesce(min(crop).width + min(crop).height + min(crop).x + min(crop).y IS NOT NULL
    AND least(min(crop).width, min(crop).height) >= 1, false) AS is_bad
FROM measured
GROUP BY uuid;

CREATE OR REPLACE TEMP VIEW described AS
SELECT
    trim(named.uuid) AS uuid,
    coalesce(named.data_source, getvariable('source_name')) AS data_source,
    named.source_id,
    named.source_url AS address,
    false AS is_local,
    named.kingdom,
    named.phylum,
    named.class,
    named."order",
    named.family,
    named.genus,
    named.species,
    named.scientific_name,
    named.common,
    named.publisher,
    NULL::VARCHAR AS dataset_key,
    named."basisOfRecord",
    named.img_type,
    -- The source id is that of an occurrence (GBIF), a specimen (BIOSCAN) or an image (EOL). Photos of one specimen
    -- share it.
    coalesce(named.data_source, getvariable('source_name')) || ':' || named.source_id AS occurrence_id,
    boxes.crop,
    coalesce(boxes.is_bad, false) AS crop_is_bad,
    terms.term.license_name AS license_name,
    terms.term.copyright_owner AS copyright_owner,
    NULL::VARCHAR AS creator,
    terms.term.license_link AS license_link,
    terms.term.title AS title,
    named.kept
FROM named
LEFT JOIN terms USING (uuid)
LEFT JOIN boxes USING (uuid);
