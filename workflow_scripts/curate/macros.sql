-- A picture is a file and a crop of it: crops of one frame are pictures of their own. 16 bytes stand for it.
CREATE TEMP MACRO picture_of(file, crop) AS
    CASE WHEN file IS NOT NULL THEN CAST(md5(file || coalesce(' ' || crop, '')) AS UUID) END;

-- GBIF's vocabularies come as MATERIAL_CITATION and as MaterialCitation.
CREATE TEMP MACRO squeezed(term) AS regexp_replace(upper(term), '[^A-Z]', '', 'g');

-- As verdicts name an occurrence; an empty id is none.
CREATE TEMP MACRO occurrence_of(id) AS 'occurrence ' || nullif(trim(id), '');

-- Whether a row is of the span of uuids in hand: from the variable `first` to before `beyond` (null: to the end).
CREATE TEMP MACRO in_span(id) AS
    id >= getvariable('first') AND (getvariable('beyond') IS NULL OR id < getvariable('beyond'));
