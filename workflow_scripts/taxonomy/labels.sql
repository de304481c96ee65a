-- Distinct labels, cleaned. In: `given` (contract PROVIDER_LABELS, of one or more generations).
-- Out: `labels`, `label_ranks` (one clean word a rank), `queries` (the binomials that a label holds, in order of trust)
-- and `words` (names at or above genus, for the fallback).

-- A label of several generations is one label. Its common name is the one with most images behind it.
CREATE OR REPLACE TEMP TABLE labels AS
WITH common_names AS (
    SELECT label_id, common, sum(images) AS images
    FROM given
    WHERE common IS NOT NULL
    GROUP BY label_id, common
)
SELECT
    -- A small number for the joins to come.
    row_number() OVER (ORDER BY label_id)::INTEGER AS label,
    label_id,
    min(kingdom) AS kingdom,
    min(phylum) AS phylum,
    min(class) AS class,
    min("order") AS "order",
    min(family) AS family,
    min(genus) AS genus,
    min(species) AS species,
    min(scientific_name) AS scientific_name,
    any_value(preferred.common) AS common,
    -- A key that not all generations agree on says nothing.
    CASE WHEN count(DISTINCT taxon_key) = 1 THEN min(taxon_key) END AS taxon_key,
    sum(images)::BIGINT AS images
FROM given
LEFT JOIN (
    SELECT label_id, arg_min(common, (-images, common)) AS common
    FROM common_names
    GROUP BY label_id
) AS preferred USING (label_id)
GROUP BY label_id;

-- One row a filled column; `place` is the order in which binomials are looked for in columns not meant for them.
CREATE OR REPLACE TEMP TABLE written_columns AS
SELECT label, place, "column", written
FROM (
    SELECT label, 3 AS place, 'genus' AS "column", genus AS written FROM labels
    UNION ALL SELECT label, 4, 'family', family FROM labels
    UNION ALL SELECT label, 5, 'order', "order" FROM labels
    UNION ALL SELECT label, 6, 'class', class FROM labels
    UNION ALL SELECT label, 7, 'phylum', phylum FROM labels
    UNION ALL SELECT label, 8, 'kingdom', kingdom FROM labels
    UNION ALL SELECT label, 2, 'scientific_name', scientific_name FROM labels
)
WHERE written IS NOT NULL;

CREATE OR REPLACE TEMP TABLE parsed_columns AS
SELECT * FROM parsed_names('written_columns');

-- The species column holds an epithet, or a whole name, or a name whose genus is cut short or left out.
CREATE OR REPLACE TEMP TABLE written_species AS
WITH species AS (
    SELECT labels.label, parsed_columns.word AS genus, plain_text(labels.species) AS text
    FROM labels
    LEFT JOIN parsed_columns ON parsed_columns.written = labels.genus
)
SELECT
    label,
    CASE
        -- Without a genus a lone lower-case word names nothing.
        WHEN genus IS NULL AND regexp_full_match(text, '\P{Lu}*') AND NOT regexp_matches(text, '[^ ] +[^ ]') THEN NULL
        WHEN genus IS NULL THEN text
        WHEN starts_with(lower(text), lower(genus) || ' ') OR text IN (genus, upper(genus)) THEN text
        -- "Q. alba"
        WHEN regexp_matches(text, '^\p{Lu}\. ?\p{Ll}') AND left(text, 1) = left(genus, 1)
            THEN genus || ' ' || regexp_replace(text, '^\p{Lu}\. ?', '')
        -- "Alba", "ALBA"
        WHEN regexp_full_match(text, '\p{Lu}[\p{L}-]*') THEN genus || ' ' || lower(text)
        WHEN regexp_matches(text, '^\P{Lu}') THEN genus || ' ' || text
        ELSE text
    END AS written
FROM species
WHERE text IS NOT NULL AND NOT says_unknown(text)
UNION ALL
-- "gorilla diehli" in the genus Gorilla: its first word may be an epithet too.
SELECT label, genus || ' ' || text
FROM species
WHERE starts_with(text, lower(genus) || ' ');

CREATE OR REPLACE TEMP TABLE parsed_species AS
SELECT * FROM parsed_names('written_species');

CREATE OR REPLACE TEMP TABLE read_columns AS
SELECT label, place, "column", word, epithet, infra
FROM written_columns
JOIN parsed_columns USING (written)
UNION ALL
SELECT label, 1, 'species', word, epithet, infra
FROM written_species
JOIN parsed_species USING (written);

-- One clean word a rank. Without a genus column the first binomial's genus stands for it.
CREATE OR REPLACE TEMP TABLE label_ranks AS
SELECT
    label,
    max(word) FILTER ("column" = 'kingdom') AS kingdom,
    max(word) FILTER ("column" = 'phylum') AS phylum,
    max(word) FILTER ("column" = 'class') AS class,
    max(word) FILTER ("column" = 'order') AS "order",
    max(word) FILTER ("column" = 'family') AS family,
    max(word) FILTER ("column" = 'genus') AS genus
FROM labels
LEFT JOIN read_columns USING (label)
GROUP BY label;

-- Species first, then scientific_name, then columns not meant for it; a subspecies before its species.
-- `genus` and `epithet`: of a binomial, for the misspelt.
CREATE OR REPLACE TEMP TABLE queries AS
SELECT
    label,
    2 * place AS priority,
    place > 2 AS is_hidden,
    name_key(word || ' ' || epithet || ' ' || infra) AS key,
    NULL AS genus,
    NULL AS epithet
FROM read_columns
WHERE word IS NOT NULL AND epithet IS NOT NULL AND infra IS NOT NULL
UNION ALL
SELECT label, 2 * place + 1, place > 2, name_key(word || ' ' || epithet), name_key(word), name_key(epithet)
FROM read_columns
WHERE word IS NOT NULL AND epithet IS NOT NULL;

-- Epithets alone: lower-case words in the species column of labels that have no genus.
CREATE OR REPLACE TEMP TABLE epithets AS
SELECT label, name_key(text) AS epithet
FROM (
    SELECT labels.label, plain_text(labels.species) AS text
    FROM labels
    JOIN label_ranks USING (label)
    WHERE label_ranks.genus IS NULL AND labels.species IS NOT NULL
)
WHERE regexp_full_match(text, '\p{Ll}[\p{Ll}-]*\p{Ll}') AND NOT says_unknown(text) AND NOT is_no_epithet(text);

-- `rank` NULL: a name that may be of any rank ("Fagaceae" as the scientific name).
CREATE OR REPLACE TEMP TABLE words AS
SELECT DISTINCT label, CASE WHEN "column" NOT IN ('species', 'scientific_name') THEN "column" END AS rank,
    name_key(word) AS key
FROM read_columns
WHERE word IS NOT NULL AND (epithet IS NULL OR "column" NOT IN ('species', 'scientific_name'))
UNION
SELECT DISTINCT label, 'genus', name_key(word)
FROM read_columns
WHERE word IS NOT NULL AND epithet IS NOT NULL;
