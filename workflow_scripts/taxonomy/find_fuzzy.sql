-- Misspelt binomials: a misspelt epithet in its genus, or a misspelt genus in the label's family: strategy fuzzy.
-- In: `queries`, `contexts`, `species_outcomes`, `strategies` and the attached `backbone`. Out: `found`, and `near` and
-- `near_genera` for `find_fuzzy_supported.sql`.
--
-- A species that the backbone lacks must not resolve to a sibling species. Misspellings are recognised by these rules:
--   a letter doubled, undoubled or swapped with its neighbour does not make another species' name;
--   a word that is an epithet in another genus is not a misspelling;
--   a misspelling has letter sequences that no epithet of the backbone has. This is required where siblings also
--   differ: in the first letter, in short words and in two letters.
-- `make bench ONLY=taxonomy` measures missed and wrong matches on lists of real species.

-- An epithet without the ending that varies with the genus ("albus", "alba", "album") or the author ("smithi",
-- "smithii").
CREATE OR REPLACE TEMP MACRO stem(epithet) AS
    regexp_replace(epithet, '(?:us|a|um|is|e|os|on|ii?)$', '');

CREATE OR REPLACE TEMP MACRO has_same_stem(one, other) AS length(stem(one)) >= 3 AND stem(one) = stem(other);

-- Prefixes that distinguish sibling species by a letter or two: macrophylla and microphylla, bipunctata and tripunctata.
CREATE OR REPLACE TEMP MACRO distinguishing_prefix(epithet) AS nullif(
    regexp_extract(
        epithet,
        '^(macro|micro|mega|mono|uni|bi|di|tri|tetra|quadri|quinque|penta|hexa|sex|septem|octo|novem|decem|multi|hyper|'
        || 'hypo|super|sub|supra|infra|inter|intra|pre|pro|brachy|platy|pachy|pauci|lepto|leuco|melano|longi|brevi|lati|'
        || 'parvi|grandi|magni)'
    ),
    ''
);

-- The number of letters that differ; NULL if more than two do, or if they distinguish species. Another ending counts as
-- one letter.
CREATE OR REPLACE TEMP MACRO letters_between(one, other) AS CASE
    WHEN abs(length(one) - length(other)) > 2 THEN NULL
    -- A cheap filter before the costly tests; swapped letters count twice here.
    WHEN levenshtein(one, other) > 4 THEN NULL
    WHEN coalesce(distinguishing_prefix(one) != distinguishing_prefix(other), false) THEN NULL
    WHEN has_same_stem(one, other) THEN 1
    WHEN damerau_levenshtein(one, other) <= 2 THEN damerau_levenshtein(one, other)
END;

-- A word with its doubled letters written once.
CREATE OR REPLACE TEMP MACRO without_doubles(word) AS array_to_string(
    list_filter(string_split(word, ''), lambda letter, place: place = 1 OR letter != word[place - 1]), ''
);

-- Whether only a doubled, undoubled or swapped letter after the first one differs.
CREATE OR REPLACE TEMP MACRO is_slip(one, other) AS
    left(one, 1) = left(other, 1)
    AND (
        without_doubles(one) = without_doubles(other)
        OR (length(one) = length(other) AND levenshtein(one, other) = 2 AND damerau_levenshtein(one, other) = 1)
    );

-- The sequences of `size` letters in a word, with its ends marked.
CREATE OR REPLACE TEMP MACRO letter_grams(word, size) AS list_transform(
    range(1, length(word) + 4 - size::BIGINT), lambda place: substr('^' || word || '$', place, size)
);

-- Each label's first binomial in the columns meant for species that is not in the backbone.
CREATE OR REPLACE TEMP TABLE unknown_binomials AS
SELECT queries.label, queries.priority, queries.key, queries.genus, queries.epithet, queries.author, contexts.family
FROM queries
JOIN contexts USING (label)
ANTI JOIN species_outcomes USING (label)
WHERE
    NOT queries.is_hidden AND queries.epithet IS NOT NULL
    AND EXISTS (SELECT 1 FROM strategies WHERE name IN ('fuzzy', 'fuzzy_supported'))
QUALIFY queries.priority = min(queries.priority) OVER (PARTITION BY queries.label);

-- The families that an answer must belong to: the label's and those of its genus, if the backbone has them.
CREATE OR REPLACE TEMP TABLE families_of_labels AS
SELECT DISTINCT query.family AS key
FROM unknown_binomials AS query
SEMI JOIN backbone.names AS names ON names.rank = 'family' AND names.key = query.family;

CREATE OR REPLACE TEMP TABLE genera_of_labels AS
SELECT query.genus AS key, array_agg(DISTINCT name_key(taxa.family)) FILTER (taxa.family IS NOT NULL) AS families
FROM (SELECT DISTINCT genus FROM unknown_binomials) AS query
JOIN backbone.names AS names ON names.key = query.genus AND names.rank = 'genus'
JOIN backbone.taxa AS taxa ON taxa.taxon_id = names.accepted_id
GROUP BY query.genus;

-- Species of the same genus whose epithets differ by two letters at most.
CREATE OR REPLACE TEMP TABLE near AS
SELECT
    row_number() OVER () AS pair,
    *,
    least(length(query_epithet), length(epithet)) AS length
FROM (
    SELECT query.label, query.priority, query.key AS query, query.epithet AS query_epithet, query.author,
        query.family AS query_family, names.epithet, names.key, names.tier, names.taxon_id, names.accepted_id,
        names.authorship, names.family, letters_between(query.epithet, names.epithet) AS letters
    FROM unknown_binomials AS query
    LEFT JOIN families_of_labels AS of_label ON of_label.key = query.family
    LEFT JOIN genera_of_labels AS of_genus ON of_genus.key = query.genus
    JOIN backbone.names AS names ON names.genus = query.genus
    WHERE
        names.epithet IS NOT NULL
        AND coalesce(of_label.key = names.family, true)
        AND coalesce(list_contains(of_genus.families, names.family), true)
)
WHERE letters IS NOT NULL AND length >= 4;

-- The labels' epithets that occur in other genera.
CREATE OR REPLACE TEMP TABLE known_epithets AS
SELECT epithet
FROM (SELECT DISTINCT query_epithet AS epithet FROM near)
SEMI JOIN backbone.names AS names USING (epithet);

-- Letter sequences that the label's epithet has and the candidate's lacks, for pairs that need this evidence.
CREATE OR REPLACE TEMP TABLE new_grams AS
SELECT DISTINCT query_epithet, epithet, unnest(list_filter(
    letter_grams(query_epithet, size),
    lambda gram: NOT list_contains(letter_grams(epithet, size), gram)
)) AS gram
FROM (
    SELECT *, CASE WHEN letters = 1 AND length >= 6 THEN 3 ELSE 4 END AS size
    FROM near
    WHERE
        NOT has_same_stem(query_epithet, epithet)
        AND (letters = 2 OR length < 6 OR left(query_epithet, 1) != left(epithet, 1))
);

-- Those that occur in the backbone's epithets. In a large backbone a few epithets do not count: they may be misspelt.
CREATE OR REPLACE TEMP TABLE known_grams AS
WITH known AS (
    SELECT DISTINCT epithet FROM backbone.names
    WHERE epithet IS NOT NULL AND EXISTS (SELECT 1 FROM new_grams)
)
SELECT gram
FROM (SELECT unnest(letter_grams(epithet, 3) || letter_grams(epithet, 4)) AS gram FROM known)
SEMI JOIN new_grams USING (gram)
GROUP BY gram
HAVING count(*) > (SELECT count(*) FROM known) // 50000;

-- Near pairs, with `is_mistake`: whether a misspelling explains the difference.
CREATE OR REPLACE TEMP TABLE plausible AS
WITH mistaken AS (
    SELECT DISTINCT query_epithet, epithet FROM new_grams ANTI JOIN known_grams USING (gram)
)
SELECT
    near.*,
    has_same_stem(near.query_epithet, near.epithet)
    OR (
        known_epithets.epithet IS NULL
        AND (
            mistaken.epithet IS NOT NULL
            OR (letters = 1 AND length >= 6 AND left(near.query_epithet, 1) = left(near.epithet, 1))
            OR (letters = 1 AND is_slip(near.query_epithet, near.epithet))
        )
    ) AS is_mistake,
    authors_agree(authors.query, authors.of_name) AS author_agrees
FROM near
LEFT JOIN (
    SELECT pair, author_key(author) AS query, author_key(authorship) AS of_name
    FROM near
    WHERE author IS NOT NULL AND authorship IS NOT NULL
) AS authors USING (pair)
LEFT JOIN known_epithets ON known_epithets.epithet = near.query_epithet
LEFT JOIN mistaken ON mistaken.query_epithet = near.query_epithet AND mistaken.epithet = near.epithet;

-- Species with the same epithet in a similarly spelt genus of the label's family, if the backbone lacks the label's
-- genus.
CREATE OR REPLACE TEMP TABLE near_genera AS
SELECT *
FROM (
    SELECT query.label, query.priority, query.key AS query, names.key, names.tier, names.taxon_id, names.accepted_id,
        letters_between(query.genus, names.genus) AS letters, least(length(query.genus), length(names.genus)) AS length
    FROM unknown_binomials AS query
    JOIN backbone.names AS names ON names.epithet = query.epithet AND names.family = query.family
    WHERE
        query.genus NOT IN (SELECT key FROM genera_of_labels)
        AND query.genus NOT IN (
            SELECT genus FROM backbone.names SEMI JOIN unknown_binomials USING (genus) WHERE genus IS NOT NULL
        )
)
WHERE letters IS NOT NULL;

CREATE OR REPLACE TEMP TABLE found AS
SELECT label, priority, query, key, tier, taxon_id, accepted_id, letters AS distance
FROM plausible
WHERE
    letters = 1 AND is_mistake
    -- The same name by another author is another name.
    AND coalesce(author_agrees, 1) >= 0.5
    AND 'fuzzy' IN (SELECT name FROM strategies)
UNION ALL
SELECT label, priority, query, key, tier, taxon_id, accepted_id, letters
FROM near_genera
WHERE letters = 1 AND length >= 6 AND 'fuzzy' IN (SELECT name FROM strategies);
