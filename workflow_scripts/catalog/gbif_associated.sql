-- Add the media that occurrences list in associatedMedia, for occurrences without rows in the table of media.
-- In: `occurrence`. In and out: `multimedia`.

-- The items of a list that is separated by "|", or by a comma, semicolon, blank or quote before a URL (GBIF's separators
-- and JSON's; a URL may contain commas and semicolons). Items without a letter or digit are left out.
CREATE OR REPLACE TEMP MACRO listed_media(written) AS list_filter(
    list_transform(
        string_split(regexp_replace(replace(written, '|#DELIMITER#|', '|'), '[\s,;"'']+(https?://)', '|\1', 'gi'), '|'),
        lambda item: trim(item, E' \t\r\n,;"[]')
    ),
    lambda item: regexp_matches(item, '[\p{L}\d]')
);

INSERT INTO multimedia BY NAME
SELECT row_id, unnest(listed_media("associatedMedia")) AS identifier, false AS is_comment
FROM occurrence
ANTI JOIN multimedia USING (row_id)
WHERE "associatedMedia" IS NOT NULL;
