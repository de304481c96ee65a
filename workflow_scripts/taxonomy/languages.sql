-- The spellings of the wanted languages. In: `wanted_languages`, `language_table` (`languages.csv`). Out: `languages`.
-- A lower place is preferred: first the language as the config writes it, then its other codes and names ("eng",
-- "English").
CREATE OR REPLACE TEMP TABLE languages AS
WITH spelt AS (
    SELECT
        wanted_languages.place,
        unnest(list_concat([wanted_languages.name], coalesce(string_split(words, '|'), []))) AS name,
        generate_subscripts(list_concat([wanted_languages.name], coalesce(string_split(words, '|'), [])), 1) AS spelling
    FROM wanted_languages
    LEFT JOIN language_table ON list_contains(string_split(words, '|'), wanted_languages.name)
)
SELECT name, min(1000 * place + spelling) AS place FROM spelt GROUP BY name;
