-- The images of a GBIF download, in the contract's columns. Tables: `occurrence` and `multimedia` (text, joined on
-- `row_id`), `citizen_datasets` (keys of datasets that describe themselves as citizen science), `fish_orders`.
-- Variables: doi, taxon_keys (the backbone that taxonKey's ids belong to), names ('accepted' or 'record'), has_species
-- (whether the accepted species is given), is_of_taxa (whether `occurrence` holds the taxa of a checklist),
-- license_stands_in and owner_stands_in (whether the occurrence's licence and rights holder replace missing ones of the
-- medium).

-- basisOfRecord as GBIF writes it, from any spelling ("PreservedSpecimen", "preserved specimen", the URL of the term).
CREATE OR REPLACE TEMP MACRO basis_of(written) AS
    CASE regexp_replace(lower(regexp_extract(written, '[^/#:]*$')), '[\s_-]+', '', 'g')
        WHEN 'preservedspecimen' THEN 'PRESERVED_SPECIMEN'
        WHEN 'fossilspecimen' THEN 'FOSSIL_SPECIMEN'
        WHEN 'livingspecimen' THEN 'LIVING_SPECIMEN'
        WHEN 'materialsample' THEN 'MATERIAL_SAMPLE'
        WHEN 'materialcitation' THEN 'MATERIAL_CITATION'
        WHEN 'machineobservation' THEN 'MACHINE_OBSERVATION'
        ELSE written
    END;

-- TreeOfLife-200M's `img_type`: camera traps first, then citizen science by publisher, then specimens by collection
-- (TreeOfLife-toolbox, processing/).
CREATE OR REPLACE TEMP MACRO is_camera_trap(basis, publisher, remarks) AS
    coalesce(regexp_matches(remarks, '(?i)camera trap|trigger sensitivity'), false)
    OR (coalesce(basis = 'MACHINE_OBSERVATION', false) AND coalesce(publisher, '') IN (
        'Museums Victoria',
        'Ministerio del Ambiente, Agua y Transición Ecológica de Ecuador - MAATE',
        'Miljøstyrelsen / The Danish Environmental Protection Agency',
        'Burgoigee Creek Landcare Group',
        'Lomonosov Moscow State University'
    ));

CREATE OR REPLACE TEMP MACRO is_citizen_science(publisher, dataset) AS
    coalesce(publisher, '') IN (
        'iNaturalist.org', 'Observation.org', 'naturgucker.de', 'Questagame', 'Pl@ntNet', 'NatureMapr',
        'Citizen Science - ALA Website', 'BioCollect', 'Tweed Koala Sightings', 'Koala Action Group', 'TilapiaMap',
        'Blauwtipje.nl', 'Great Koala Count 2', 'Superb Parrot Monitoring project', 'SLU Artdatabanken',
        'Sibecocenter LLC'
    )
    OR coalesce(dataset, '') IN (
        '84a649ce-ff81-420d-9c41-aa1de59e3766',
        -- BugGuide
        'cca13f2c-0d2c-4c2f-93b9-4446c0cc1629'
    )
    OR coalesce(dataset IN (SELECT dataset_key FROM citizen_datasets), false);

CREATE OR REPLACE TEMP MACRO collection_of(kingdom, phylum, class, "order") AS
    CASE
        WHEN kingdom = 'Plantae' OR phylum IN ('Magnoliopsida', 'Ochrophyta') THEN 'Plant'
        WHEN kingdom = 'Fungi' OR phylum IN ('Mycetozoa', 'Oomycota', 'Leotiomycetes', 'Sordariomycetes') THEN 'Fungi'
        WHEN class = 'Insecta' THEN 'Insect'
        WHEN phylum = 'Chordata' AND "order" IN (SELECT name FROM fish_orders) THEN 'Vertebrate Zoology - Fishes'
        WHEN class = 'Amphibia' THEN 'Vertebrate Zoology - Amphibians'
        WHEN class IN ('Reptilia', 'Squamata', 'Testudines', 'Crocodylia', 'Sphenodontia')
            THEN 'Vertebrate Zoology - Reptiles'
        WHEN class = 'Aves' THEN 'Vertebrate Zoology - Birds'
        WHEN class = 'Mammalia' THEN 'Vertebrate Zoology - Mammals'
        WHEN phylum = 'Chordata' THEN 'Vertebrate Zoology - Others'
        WHEN kingdom = 'Animalia' THEN 'Invertebrate Zoology'
        WHEN kingdom IN ('Bacteria', 'Archaea', 'Chromista', 'Protozoa', 'Viruses') THEN 'Microbiology'
        ELSE 'Uncategorized'
    END;

CREATE OR REPLACE TEMP MACRO img_type_of(basis, publisher, dataset, remarks, kingdom, phylum, class, "order") AS
    CASE
        WHEN is_camera_trap(basis, publisher, remarks) THEN 'Camera-trap'
        WHEN is_citizen_science(publisher, dataset) THEN 'Citizen Science'
        WHEN basis IN (
            'PRESERVED_SPECIMEN', 'MATERIAL_SAMPLE', 'FOSSIL_SPECIMEN', 'LIVING_SPECIMEN', 'MATERIAL_CITATION'
        ) THEN 'Museum Specimen: ' || collection_of(kingdom, phylum, class, "order")
        ELSE 'Unidentified'
    END;

CREATE OR REPLACE TEMP MACRO lowest_of(kingdom, phylum, class, "order", family, genus) AS
    coalesce(genus, family, "order", class, phylum, kingdom);

-- The DCMI types, and other names for them (gbif/parsers, media_type.tsv).
CREATE OR REPLACE TEMP MACRO is_image_type(type) AS
    type IN ('stillimage', 'image', 'photo', 'photograph', 'foto', 'picture', 'bild', 'drawing');
CREATE OR REPLACE TEMP MACRO is_other_type(type) AS
    type IN (
        'movingimage', 'video', 'film', 'movie', 'sound', 'sounds', 'audio', 'ton', 'text', 'dataset', 'collection',
        'event', 'interactiveresource', 'physicalobject', 'service', 'software'
    );

CREATE OR REPLACE TEMP MACRO each_once(texts) AS
    list_filter(texts, lambda text, place: text IS NOT NULL AND list_position(texts, text) = place);

CREATE OR REPLACE TEMP MACRO image_suffix() AS '(jpe?g|png|tiff?|gif|webp|bmp|avif|heic)';
CREATE OR REPLACE TEMP MACRO other_suffix() AS
    '(html?|pdf|txt|xml|json|docx?|zip|mp3|wav|ogg|flac|m4a|mp4|m4v|mov|avi|mpe?g|webm|obj|stl|ply|glb)';
CREATE OR REPLACE TEMP MACRO has_suffix(url, suffix) AS
    coalesce(regexp_matches(url, '(?i)\.(' || suffix || ')([?#&]|$)'), false);

-- Genus and epithet, each with an optional hybrid sign.
CREATE OR REPLACE TEMP MACRO binomial() AS '^((?:[×xX]\s+)?\S+)\s+((?:[×xX]\s*)?[\p{Ll}\d].*)$';

-- Memory holds only the repeated ids, not the occurrences. If the occurrences of an id (of an event, or repeated by
-- mistake) are of different taxa, it is unknown which of them its media show.
CREATE OR REPLACE TEMP TABLE repeated_ids AS
SELECT
    row_id,
    count(DISTINCT [
        kingdom, family, genus, species, "genericName", "specificEpithet", "scientificName", "acceptedScientificName"
    ]) > 1 AS differ
FROM occurrence
WHERE row_id IS NOT NULL
GROUP BY row_id
HAVING count(*) > 1;

CREATE OR REPLACE TEMP VIEW typed AS
SELECT
    * REPLACE (
        coalesce("accessURI", identifier) AS identifier,
        -- All terms about the medium's rights, each once.
        nullif(array_to_string(each_once([license, "usageTerms", rights]), '; '), '') AS license,
        coalesce("rightsHolder", owner) AS "rightsHolder"
    ),
    regexp_replace(lower(regexp_extract(type, '[^/#:]*$')), '[\s_-]+', '', 'g') AS kind
FROM multimedia;

CREATE OR REPLACE TEMP VIEW media AS
SELECT
    * EXCLUDE (kind),
    -- Decided by the type; if empty or unknown, by the format; if that is empty too, by the URL's suffix.
    CASE
        WHEN is_image_type(kind) THEN true
        WHEN is_other_type(kind) THEN false
        WHEN coalesce(format, CASE WHEN contains(type, '/') THEN type END) IS NOT NULL
            THEN regexp_matches(coalesce(format, type), '(?i)^(image\b|\.?' || image_suffix() || '$)')
        ELSE has_suffix(identifier, image_suffix())
    END AS is_image,
    -- Neither its type, nor its format, nor its URL tells whether it is an image.
    coalesce(NOT is_image_type(kind) AND NOT is_other_type(kind) AND NOT contains(type, '/'), true)
    AND format IS NULL
    AND NOT has_suffix(identifier, image_suffix() || '|' || other_suffix()) AS is_unknown,
    -- An image of a sound.
    coalesce(regexp_matches(concat_ws(' ', title, description), '(?i)\b(sono|spectro|oscillo)gram'), false)
    OR coalesce(regexp_matches(identifier, '(?i)^https?://([^/]*\.)?xeno-canto\.org[:/]'), false)
    OR coalesce(regexp_matches(concat_ws(' ', publisher, "rightsHolder"), '(?i)xeno-canto'), false) AS is_sonogram
FROM typed;

-- Occurrences with several images; some of these may show a label or a drawer.
CREATE OR REPLACE TEMP TABLE photographed_often AS
SELECT row_id
FROM media
WHERE is_image AND identifier IS NOT NULL AND row_id IS NOT NULL
GROUP BY row_id
HAVING count(*) > 1;

CREATE OR REPLACE TEMP VIEW joined AS
WITH
-- Of several occurrences with the same id, the first in the order of all values is kept, so that the choice is
-- deterministic.
once AS (
    SELECT * FROM occurrence WHERE row_id NOT IN (SELECT row_id FROM repeated_ids)
    UNION ALL BY NAME
    SELECT * FROM occurrence WHERE row_id IN (SELECT row_id FROM repeated_ids)
    QUALIFY row_number() OVER (PARTITION BY row_id ORDER BY occurrence) = 1
),

-- GBIF's ranks, `genus` and `species` describe the accepted taxon; genericName, specificEpithet and scientificName are
-- the record's own name, which may be a synonym. `names` decides which of the two becomes the label.
named AS (
    SELECT
        *,
        CASE WHEN getvariable('has_species') THEN coalesce("acceptedScientificName", species) ELSE '' END AS accepted_name,
        getvariable('names') = 'accepted' AND getvariable('has_species') AS is_accepted,
        -- Names of viruses are not binomials: their genus comes from GBIF's column.
        coalesce(kingdom != 'Viruses', true) AND regexp_matches(species, binomial()) AS is_binomial
    FROM once
),

labelled AS (
    SELECT
        * REPLACE (
            CASE
                WHEN NOT is_accepted THEN coalesce(
                    "genericName",
                    CASE WHEN starts_with("scientificName" || ' ', genus || ' ') THEN genus END,
                    CASE WHEN "scientificName" IS NULL THEN genus END
                )
                WHEN is_binomial THEN regexp_extract(species, binomial(), 1)
                ELSE genus
            END AS genus,
            CASE
                WHEN NOT is_accepted THEN "specificEpithet"
                WHEN is_binomial THEN regexp_extract(species, binomial(), 2)
                ELSE species
            END AS species
        ),
        CASE
            WHEN NOT is_accepted THEN coalesce("scientificName", concat_ws(' ', genus, "specificEpithet"))
            WHEN species IS NOT NULL AND "acceptedScientificName" IS NOT NULL THEN "acceptedScientificName"
            -- If the record's own name is the accepted one, it includes the author.
            WHEN starts_with("scientificName" || ' ', species || ' ') THEN "scientificName"
            WHEN species IS NOT NULL THEN species
            WHEN starts_with("scientificName" || ' ', lowest_of(kingdom, phylum, class, "order", family, genus) || ' ')
                AND "specificEpithet" IS NULL
                THEN "scientificName"
            ELSE coalesce(lowest_of(kingdom, phylum, class, "order", family, genus), "scientificName")
        END AS scientific_name
    FROM named
)

SELECT
    -- All other columns of the occurrence, for `select` and `keep`.
    labelled.* EXCLUDE (
        publisher, license, "rightsHolder", creator, title, type, format, identifier, description, row_id, is_accepted,
        is_binomial, is_comment
    ),
    labelled."scientificName" AS record_name,
    labelled."datasetKey" AS dataset_key,
    labelled."vernacularName" AS common,
    -- GBIF writes 0 for a name that it could not match.
    getvariable('taxon_keys') || ':' || nullif(labelled."taxonKey", '0') AS taxon_key,
    coalesce(media.publisher, labelled."institutionCode") AS publisher,
    img_type_of(
        basis_of(labelled."basisOfRecord"), labelled.publisher, labelled."datasetKey", labelled."eventRemarks",
        labelled.kingdom, labelled.phylum, labelled.class, labelled."order"
    ) AS img_type,
    CASE WHEN photographed_often.row_id IS NULL THEN 'false' ELSE 'true' END AS several_images,
    'gbif' AS data_source,
    media.row_id AS source_id,
    -- The media of a taxon show many individuals.
    CASE WHEN NOT getvariable('is_of_taxa') THEN 'gbif:' || media.row_id END AS occurrence_id,
    media.identifier AS url,
    -- The occurrence's licence covers the data, not the image.
    labelled.license AS record_license,
    coalesce(media.license, CASE WHEN getvariable('license_stands_in') THEN labelled.license END) AS license_name,
    coalesce(media."rightsHolder", CASE WHEN getvariable('owner_stands_in') THEN labelled."rightsHolder" END)
        AS copyright_owner,
    media."webStatement" AS license_link,
    media.creator,
    media.title,
    getvariable('doi') AS source_doi,
    CASE
        WHEN media.is_unknown AND media.identifier IS NOT NULL THEN 'kind_unknown'
        WHEN NOT media.is_image THEN 'not_an_image'
        WHEN media.is_sonogram THEN 'sonogram'
        WHEN labelled.row_id IS NULL THEN 'no_occurrence'
        WHEN repeated_ids.differ THEN 'several_occurrences'
        WHEN basis_of(labelled."basisOfRecord") = 'MATERIAL_CITATION' THEN 'material_citation'
    END AS left_out
FROM media
LEFT JOIN labelled ON media.row_id = labelled.row_id
LEFT JOIN repeated_ids ON media.row_id = repeated_ids.row_id
LEFT JOIN photographed_often ON media.row_id = photographed_often.row_id;
