-- A GBIF download's images, named as the contract names them. Tables: `occurrence` and `multimedia`, all text.
-- Variables: doi, taxon_keys (the backbone whose ids are in taxonKey).

-- TreeOfLife-200M's `img_type`: by how the record came to be, and for specimens by the collection that would keep it.
CREATE OR REPLACE TEMP MACRO img_type_of(basis, kingdom, phylum, class) AS
    CASE
        WHEN basis = 'HUMAN_OBSERVATION' THEN 'Citizen Science'
        WHEN basis = 'MACHINE_OBSERVATION' THEN 'Camera-trap'
        WHEN basis IN ('PRESERVED_SPECIMEN', 'FOSSIL_SPECIMEN', 'LIVING_SPECIMEN', 'MATERIAL_SAMPLE')
            THEN 'Museum Specimen: ' || CASE
                WHEN kingdom = 'Plantae' THEN 'Plant'
                WHEN kingdom = 'Fungi' THEN 'Fungi'
                WHEN kingdom IN ('Bacteria', 'Archaea', 'Chromista', 'Protozoa', 'Viruses') THEN 'Microbiology'
                WHEN class = 'Insecta' THEN 'Insect'
                WHEN class = 'Aves' THEN 'Vertebrate Zoology - Birds'
                WHEN class = 'Mammalia' THEN 'Vertebrate Zoology - Mammals'
                WHEN class = 'Amphibia' THEN 'Vertebrate Zoology - Amphibians'
                WHEN phylum = 'Chordata' THEN 'Vertebrate Zoology - Others'
                WHEN kingdom = 'Animalia' THEN 'Invertebrate Zoology'
                ELSE 'Uncategorized'
            END
        ELSE 'Unidentified'
    END;

CREATE OR REPLACE TEMP VIEW joined AS
WITH media AS (
    SELECT
        *,
        -- An image by its type, or where that is empty by its format.
        coalesce(type = 'StillImage', false)
        OR (coalesce(type, '') = '' AND coalesce(starts_with(lower(format), 'image'), false)) AS is_image
    FROM multimedia
)

SELECT
    -- Every other column of the occurrence, so that any of them may be selected by or kept.
    occurrence.* EXCLUDE (species, publisher, license, "rightsHolder", creator, title, type, format, identifier),
    occurrence."scientificName" AS scientific_name,
    occurrence."datasetKey" AS dataset_key,
    -- GBIF's `species` is the binomial; the epithet stands beside it.
    coalesce(nullif(occurrence."specificEpithet", ''), split_part(occurrence.species, ' ', 2)) AS species,
    nullif(occurrence."vernacularName", '') AS common,
    -- 0 is GBIF's own word for a name that it could not place.
    getvariable('taxon_keys') || ':' || nullif(nullif(occurrence."taxonKey", ''), '0') AS taxon_key,
    coalesce(nullif(media.publisher, ''), nullif(occurrence."institutionCode", '')) AS publisher,
    img_type_of(occurrence."basisOfRecord", occurrence.kingdom, occurrence.phylum, occurrence.class) AS img_type,
    'gbif' AS data_source,
    media."gbifID" AS source_id,
    'gbif:' || media."gbifID" AS occurrence_id,
    media.identifier AS url,
    coalesce(nullif(media.license, ''), nullif(occurrence.license, '')) AS license_name,
    coalesce(nullif(media."rightsHolder", ''), nullif(occurrence."rightsHolder", '')) AS copyright_owner,
    media.creator,
    media.title,
    getvariable('doi') AS source_doi,
    CASE
        WHEN NOT media.is_image THEN 'not_an_image'
        WHEN occurrence."gbifID" IS NULL THEN 'no_occurrence'
        WHEN occurrence."basisOfRecord" = 'MATERIAL_CITATION' THEN 'material_citation'
    END AS left_out
FROM media
LEFT JOIN occurrence ON media."gbifID" = occurrence."gbifID";
