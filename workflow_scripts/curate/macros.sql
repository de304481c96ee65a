-- A picture is a file and a crop of it: different crops of a file are different pictures. A 16-byte hash identifies it.
CREATE TEMP MACRO picture_of(file, crop) AS
    CASE WHEN file IS NOT NULL THEN CAST(md5(file || coalesce(' ' || crop, '')) AS UUID) END;

-- GBIF's vocabularies are written as MATERIAL_CITATION and as MaterialCitation.
CREATE TEMP MACRO squeezed(term) AS regexp_replace(upper(term), '[^A-Z]', '', 'g');

-- The occurrence as written in verdicts; NULL for an empty id.
CREATE TEMP MACRO occurrence_of(id) AS 'occurrence ' || nullif(trim(id), '');

-- Whether a uuid is in the current span: from the variable `first` to before `beyond` (null: to the end).
CREATE TEMP MACRO in_span(id) AS
    id >= getvariable('first') AND (getvariable('beyond') IS NULL OR id < getvariable('beyond'));
