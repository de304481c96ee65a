-- A picture is a file and a crop of it: crops of one frame are pictures of their own. 16 bytes stand for it.
CREATE TEMP MACRO picture_of(file, crop) AS
    CASE WHEN file IS NOT NULL THEN CAST(md5(file || coalesce(' ' || crop, '')) AS UUID) END;

-- GBIF's vocabularies come as MATERIAL_CITATION and as MaterialCitation.
CREATE TEMP MACRO squeezed(term) AS regexp_replace(upper(term), '[^A-Z]', '', 'g');
