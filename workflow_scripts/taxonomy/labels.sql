-- Distinct labels, cleaned. In: `given` (contract PROVIDER_LABELS, of one or more generations).
-- Out: `labels`, `label_ranks` (one clean name per rank), `queries` (a label's binomials, in order of trust), `epithets`
-- (those without a genus), `read_names` (the names in the columns meant for species) and `hidden_names` (binomials in
-- other columns).

-- A label of several generations is one label. Its common name is the one with the most images.
CREATE OR REPLACE TEMP TABLE labels AS
WITH common_names AS (
    SELECT label_id, common, sum(images) AS images
    FROM given
    WHERE common IS NOT NULL
    GROUP BY label_id, common
)
SELECT
    -- A small key for the joins that follow.
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
    -- A key on which generations disagree is ignored.
    CASE WHEN min(taxon_key) = max(taxon_key) THEN min(taxon_key) END AS taxon_key,
    sum(images)::BIGINT AS images
FROM given
LEFT JOIN (
    SELECT label_id, arg_min(common, (-images, common)) AS common
    FROM common_names
    GROUP BY label_id
) AS preferred USING (label_id)
GROUP BY label_id;

-- The distinct texts of the rank columns: a few thousand for all labels.
CREATE OR REPLACE TEMP TABLE written_ranks AS
SELECT kingdom AS written FROM labels
UNION SELECT phylum FROM labels
UNION SELECT class FROM labels
UNION SELECT "order" FROM labels
UNION SELECT family FROM labels
UNION SELECT genus FROM labels;

CREATE OR REPLACE TEMP TABLE read_ranks AS
SELECT *, name_key(word) AS key, kingdoms_meant(word) AS kingdoms
FROM name_parts('written_ranks')
WHERE word IS NOT NULL;

-- The key of each rank's name; NULL if the column has none. `kingdoms`: those that the kingdom column may mean.
CREATE OR REPLACE TEMP TABLE label_ranks AS
SELECT
    labels.label,
    of_kingdom.kingdoms,
    of_kingdom.key AS kingdom,
    of_phylum.key AS phylum,
    of_class.key AS class,
    of_order.key AS "order",
    of_family.key AS family,
    of_genus.key AS genus
FROM labels
LEFT JOIN read_ranks AS of_kingdom ON of_kingdom.written = labels.kingdom
LEFT JOIN read_ranks AS of_phylum ON of_phylum.written = labels.phylum
LEFT JOIN read_ranks AS of_class ON of_class.written = labels.class
LEFT JOIN read_ranks AS of_order ON of_order.written = labels."order"
LEFT JOIN read_ranks AS of_family ON of_family.written = labels.family
LEFT JOIN read_ranks AS of_genus ON of_genus.written = labels.genus;

-- The species column contains an epithet, a full name, or a name whose genus is abbreviated or omitted.
CREATE OR REPLACE TEMP TABLE written_species AS
WITH species AS (
    SELECT labels.label, read_ranks.word AS genus, plain_text(labels.species) AS text
    FROM labels
    LEFT JOIN read_ranks ON read_ranks.written = labels.genus
    WHERE labels.species IS NOT NULL
)
SELECT
    label,
    CASE
        -- Without a genus, a single lower-case word is not a name.
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
-- "gorilla diehli" in the genus Gorilla: the first word may also be an epithet.
SELECT label, genus || ' ' || text
FROM species
WHERE starts_with(text, lower(genus) || ' ');

-- The texts of the columns meant for species; a scientific name that repeats the species column is left out.
CREATE OR REPLACE TEMP TABLE written_names AS
SELECT label, 1 AS place, written FROM written_species
UNION ALL
SELECT label, 2, scientific_name
FROM labels
ANTI JOIN written_species
    ON written_species.label = labels.label AND written_species.written = labels.scientific_name
WHERE scientific_name IS NOT NULL;

CREATE OR REPLACE TEMP TABLE parsed AS
SELECT * FROM name_parts('written_names');

-- The names in the columns meant for species.
CREATE OR REPLACE TEMP TABLE read_names AS
SELECT label, place, parsed.* EXCLUDE (written)
FROM written_names
JOIN parsed USING (written);

-- Binomials in other columns. `place` is the order of the search.
CREATE OR REPLACE TEMP TABLE hidden_names AS
SELECT written_columns.label, written_columns.place, read_ranks.* EXCLUDE (written, key, kingdoms)
FROM (
    SELECT label, 3 AS place, genus AS written FROM labels
    UNION ALL SELECT label, 4, family FROM labels
    UNION ALL SELECT label, 5, "order" FROM labels
    UNION ALL SELECT label, 6, class FROM labels
    UNION ALL SELECT label, 7, phylum FROM labels
    UNION ALL SELECT label, 8, kingdom FROM labels
) AS written_columns
JOIN read_ranks USING (written)
WHERE read_ranks.epithet IS NOT NULL;

-- The names to search for: of `species` first, then of `scientific_name`, then of other columns; a subspecies before its
-- species. `genus` and `epithet`: the parts of a binomial, for the fuzzy search. `is_primary`: the name as written, not
-- another reading or spelling of it.
CREATE OR REPLACE TEMP TABLE queries AS
WITH names AS (
    SELECT *, false AS is_hidden FROM read_names
    UNION ALL BY NAME
    SELECT *, true AS is_hidden FROM hidden_names
),
readings AS (
    SELECT label, 10 * place AS priority, is_hidden, word || ' ' || epithet || ' ' || infra AS name, NULL AS genus,
        NULL AS epithet, author, infra_rank, true AS is_primary
    FROM names
    WHERE epithet IS NOT NULL AND infra IS NOT NULL
    UNION ALL
    -- The author of a subspecies is not the author of its species.
    SELECT label, 10 * place + 3, is_hidden, word || ' ' || epithet, word, epithet,
        CASE WHEN infra IS NULL THEN author END, NULL, true
    FROM names
    WHERE epithet IS NOT NULL
    UNION ALL
    -- The mark of a hybrid may be joined to the epithet: "xananassa".
    SELECT label, 10 * place + 6, is_hidden, word || ' ' || substr(epithet, 2), NULL, NULL, author, NULL, false
    FROM names
    WHERE starts_with(epithet, 'x')
    UNION ALL
    SELECT label, 10 * place + 6, is_hidden, word || ' ' || joining, NULL, NULL, author, NULL, false
    FROM names
    WHERE
        joining IS NOT NULL
        -- "Lampona spec" is a species only with its author.
        AND (
            joining NOT IN ('spec', 'sect', 'ser', 'form', 'race', 'morph')
            OR regexp_matches(author, '^\(?\p{Lu}')
        )
    UNION ALL
    SELECT label, 10 * place + 6, is_hidden, whole, NULL, NULL, NULL, NULL, true
    FROM names
    WHERE whole IS NOT NULL
)
SELECT label, priority + 1 AS priority, is_hidden, name_key(name) AS key, name_key(genus) AS genus,
    name_key(epithet) AS epithet, author, infra_rank, is_primary
FROM readings
UNION ALL
-- Names with umlauts: as written first, then both spellings without them.
SELECT label, priority, is_hidden, lower(name), NULL, NULL, author, infra_rank, false
FROM readings
WHERE has_umlaut(name)
UNION ALL
SELECT label, priority + 1, is_hidden, unnest(umlaut_keys(name)), NULL, NULL, author, infra_rank, false
FROM readings
WHERE has_umlaut(name);

-- Names in Title Case, with their epithets in lower case.
CREATE OR REPLACE TEMP TABLE titles AS
SELECT label, 10 * place + 1 AS priority, name_key(word || ' ' || title) AS key
FROM read_names
WHERE title IS NOT NULL
UNION ALL
SELECT label, 10 * place + 4, name_key(word || ' ' || split_part(title, ' ', 1))
FROM read_names
WHERE contains(title, ' ');

-- Epithets alone: lower-case words in the species column of labels without a genus.
CREATE OR REPLACE TEMP TABLE epithets AS
SELECT label, name_key(text) AS epithet
FROM (
    SELECT labels.label, plain_text(labels.species) AS text
    FROM labels
    JOIN label_ranks USING (label)
    WHERE label_ranks.genus IS NULL AND labels.species IS NOT NULL
)
WHERE regexp_full_match(text, '\p{Ll}[\p{Ll}-]*\p{Ll}') AND NOT says_unknown(text) AND NOT is_no_epithet(text);
