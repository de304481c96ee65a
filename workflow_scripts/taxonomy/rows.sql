-- Macros that read the columns of a row.

-- The key of a vocabulary's word: "http://rs.gbif.org/vocabulary/gbif/rank/Sub_species" is "subspecies".
CREATE OR REPLACE TEMP MACRO word_key(written) AS regexp_replace(
    lower(strip_accents(CASE WHEN contains(written, '://') THEN regexp_extract(written, '([^/#]*)[/#]*$', 1) ELSE written END)),
    '[^\p{L}*?]', '', 'g'
);

-- "Quercus alba" from a generic name and an epithet; an epithet that is already a full name is kept.
CREATE OR REPLACE TEMP MACRO joined_name(genus, epithet, infra) AS CASE
    WHEN regexp_matches(infra, '^\p{Lu}\p{L}+ ') THEN infra
    WHEN epithet IS NULL THEN NULL
    WHEN regexp_matches(epithet, '^\p{Lu}\p{L}+ ') THEN concat_ws(' ', epithet, infra)
    WHEN genus IS NOT NULL THEN concat_ws(' ', genus, lower(epithet), infra)
END;

-- A row's name: as written, else joined from its parts, else from its rank's column, else from its lowest rank.
CREATE OR REPLACE TEMP MACRO row_name(given) AS coalesce(
    given."canonicalName",
    given."scientificName",
    joined_name(coalesce(given."genericName", given.genus), given."specificEpithet", given."infraspecificEpithet"),
    CASE word_key(given."taxonRank")
        WHEN 'family' THEN given.family
        WHEN 'order' THEN given."order"
        WHEN 'class' THEN given.class
        WHEN 'phylum' THEN given.phylum
        WHEN 'kingdom' THEN given.kingdom
        WHEN 'subgenus' THEN given."infragenericEpithet"
        WHEN 'section' THEN given."infragenericEpithet"
        WHEN 'subsection' THEN given."infragenericEpithet"
        WHEN 'series' THEN given."infragenericEpithet"
        WHEN 'subseries' THEN given."infragenericEpithet"
    END,
    given."genericName",
    given.genus,
    given.family,
    given."order",
    given.class,
    given.phylum,
    given.kingdom
);
