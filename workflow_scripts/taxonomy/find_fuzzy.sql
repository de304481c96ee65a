-- Misspelt binomials: the epithet within its genus, or the genus within the label's family: strategy fuzzy.
-- In: `queries`, `contexts`, `species_outcomes`, `strategies` and the attached `backbone`. Out: `found`, and `near` and
-- `near_genera` for `find_fuzzy_supported.sql`.
--
-- A species that the backbone lacks must not become its sibling. What tells a misspelling from a sibling's name:
--   a letter doubled, left out of a double or swapped with its neighbour makes no other species' name;
--   a word that is an epithet of another genus is a word, not a misspelling;
--   a mistake makes sequences of letters that no epithet of the backbone has: asked of where siblings differ most, in
--   the first letter, in short words and in two letters.
-- `make bench ONLY=taxonomy` measures both errors over lists of real species.

-- An epithet without the ending that follows its genus ("albus", "alba", "album") or its author ("smithi", "smithii").
CREATE OR REPLACE TEMP MACRO stem(epithet) AS
    regexp_replace(epithet, '(?:us|a|um|is|e|os|on|ii?)$', '');

CREATE OR REPLACE TEMP MACRO has_same_stem(one, other) AS length(stem(one)) >= 3 AND stem(one) = stem(other);

-- What tells one species from its sibling by a letter or two is no misspelling: macrophylla and microphylla,
-- bipunctata and tripunctata.
CREATE OR REPLACE TEMP MACRO telling_prefix(epithet) AS nullif(
    regexp_extract(
        epithet,
        '^(macro|micro|mega|mono|uni|bi|di|tri|tetra|quadri|quinque|penta|hexa|sex|septem|octo|novem|decem|multi|hyper|'
        || 'hypo|super|sub|supra|infra|inter|intra|pre|pro|brachy|platy|pachy|pauci|lepto|leuco|melano|longi|brevi|lati|'
        || 'parvi|grandi|magni)'
    ),
    ''
);

-- The letters that differ, two at most; NULL when more do, or when they tell two species apart. One ending for another
-- counts as one letter.
CREATE OR REPLACE TEMP MACRO letters_between(one, other) AS CASE
    WHEN abs(length(one) - length(other)) > 2 THEN NULL
    -- The costly tests are for the few pairs that are near; letters that changed places count twice here.
    WHEN levenshtein(one, other) > 4 THEN NULL
    WHEN coalesce(telling_prefix(one) != telling_prefix(other), false) THEN NULL
    WHEN has_same_stem(one, other) THEN 1
    WHEN damerau_levenshtein(one, other) <= 2 THEN damerau_levenshtein(one, other)
END;

-- One letter in words that are long enough to have no neighbours that are words of their own; NULL for all else.
CREATE OR REPLACE TEMP MACRO misspelling(one, other) AS CASE
    WHEN letters_between(one, other) = 1 AND (least(length(one), length(other)) >= 6 OR has_same_stem(one, other)) THEN 1
END;

-- A word with each letter that is doubled written once.
CREATE OR REPLACE TEMP MACRO without_doubles(word) AS array_to_string(
    list_filter(string_split(word, ''), lambda letter, place: place = 1 OR letter != word[place - 1]), ''
);

-- A letter doubled, left out of a double, or swapped with the next, behind the first letter.
CREATE OR REPLACE TEMP MACRO is_slip(one, other) AS
    left(one, 1) = left(other, 1)
    AND (
        without_doubles(one) = without_doubles(other)
        OR (length(one) = length(other) AND levenshtein(one, other) = 2 AND damerau_levenshtein(one, other) = 1)
    );

-- The sequences of `size` letters in a word, its edges marked.
CREATE OR REPLACE TEMP MACRO letter_grams(word, size) AS list_transform(
    range(1, length(word) + 4 - size::BIGINT), lambda place: substr('^' || word || '$', place, size)
);

-- The first binomial that nobody knows, of the columns meant for one.
CREATE OR REPLACE TEMP TABLE unknown_binomials AS
SELECT queries.label, queries.priority, queries.key, queries.genus, queries.epithet, queries.author, contexts.family
FROM queries
JOIN contexts USING (label)
ANTI JOIN species_outcomes USING (label)
WHERE
    NOT queries.is_hidden AND queries.epithet IS NOT NULL
    AND EXISTS (SELECT 1 FROM strategies WHERE name IN ('fuzzy', 'fuzzy_supported'))
QUALIFY queries.priority = min(queries.priority) OVER (PARTITION BY queries.label);

-- The family that an answer must be of: the label's where the backbone has it, and its genus's where it has that.
CREATE OR REPLACE TEMP TABLE families_of_labels AS
SELECT DISTINCT asked.family AS key
FROM unknown_binomials AS asked
SEMI JOIN backbone.names AS names ON names.rank = 'family' AND names.key = asked.family;

CREATE OR REPLACE TEMP TABLE genera_of_labels AS
SELECT asked.genus AS key, array_agg(DISTINCT name_key(taxa.family)) FILTER (taxa.family IS NOT NULL) AS families
FROM (SELECT DISTINCT genus FROM unknown_binomials) AS asked
JOIN backbone.names AS names ON names.key = asked.genus AND names.rank = 'genus'
JOIN backbone.taxa AS taxa ON taxa.taxon_id = names.accepted_id
GROUP BY asked.genus;

-- Species of the same genus whose epithets differ by two letters at most.
CREATE OR REPLACE TEMP TABLE near AS
SELECT
    row_number() OVER () AS pair,
    *,
    least(length(asked_epithet), length(epithet)) AS length
FROM (
    SELECT asked.label, asked.priority, asked.key AS asked, asked.epithet AS asked_epithet, asked.author,
        asked.family AS asked_family, names.epithet, names.key, names.tier, names.taxon_id, names.accepted_id,
        names.authorship, names.family, letters_between(asked.epithet, names.epithet) AS letters
    FROM unknown_binomials AS asked
    LEFT JOIN families_of_labels AS of_label ON of_label.key = asked.family
    LEFT JOIN genera_of_labels AS of_genus ON of_genus.key = asked.genus
    JOIN backbone.names AS names ON names.genus = asked.genus
    WHERE
        names.epithet IS NOT NULL
        AND coalesce(of_label.key = names.family, true)
        AND coalesce(list_contains(of_genus.families, names.family), true)
)
WHERE letters IS NOT NULL AND length >= 4;

-- Asked epithets that are words: of other genera.
CREATE OR REPLACE TEMP TABLE words_elsewhere AS
SELECT epithet
FROM (SELECT DISTINCT asked_epithet AS epithet FROM near)
SEMI JOIN backbone.names AS names USING (epithet);

-- The new sequences of letters that only a mistake makes, where that must be asked. In a large backbone a sequence that
-- a few epithets have may be a mistake of its own.
CREATE OR REPLACE TEMP TABLE new_grams AS
SELECT DISTINCT asked_epithet, epithet, unnest(list_filter(
    letter_grams(asked_epithet, size),
    lambda gram: NOT list_contains(letter_grams(epithet, size), gram)
)) AS gram
FROM (
    SELECT *, CASE WHEN letters = 1 AND length >= 6 THEN 3 ELSE 4 END AS size
    FROM near
    WHERE
        NOT has_same_stem(asked_epithet, epithet)
        AND (letters = 2 OR length < 6 OR left(asked_epithet, 1) != left(epithet, 1))
);

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

-- Pairs that a mistake explains.
CREATE OR REPLACE TEMP TABLE plausible AS
WITH mistaken AS (
    SELECT DISTINCT asked_epithet, epithet FROM new_grams ANTI JOIN known_grams USING (gram)
)
SELECT
    near.*,
    has_same_stem(near.asked_epithet, near.epithet)
    OR (
        words_elsewhere.epithet IS NULL
        AND (
            mistaken.epithet IS NOT NULL
            OR (letters = 1 AND length >= 6 AND left(near.asked_epithet, 1) = left(near.epithet, 1))
            OR (letters = 1 AND is_slip(near.asked_epithet, near.epithet))
        )
    ) AS is_mistake,
    authors_agree(authors.asked, authors.of_name) AS author_agrees
FROM near
LEFT JOIN (
    SELECT pair, author_key(author) AS asked, author_key(authorship) AS of_name
    FROM near
    WHERE author IS NOT NULL AND authorship IS NOT NULL
) AS authors USING (pair)
LEFT JOIN words_elsewhere ON words_elsewhere.epithet = near.asked_epithet
LEFT JOIN mistaken ON mistaken.asked_epithet = near.asked_epithet AND mistaken.epithet = near.epithet;

-- Species of the same epithet in a genus of the label's family that is spelt nearly so; not where the backbone has the
-- label's genus.
CREATE OR REPLACE TEMP TABLE near_genera AS
SELECT *
FROM (
    SELECT asked.label, asked.priority, asked.key AS asked, names.key, names.tier, names.taxon_id, names.accepted_id,
        letters_between(asked.genus, names.genus) AS letters, least(length(asked.genus), length(names.genus)) AS length
    FROM unknown_binomials AS asked
    JOIN backbone.names AS names ON names.epithet = asked.epithet AND names.family = asked.family
    WHERE
        asked.genus NOT IN (SELECT key FROM genera_of_labels)
        AND asked.genus NOT IN (
            SELECT genus FROM backbone.names SEMI JOIN unknown_binomials USING (genus) WHERE genus IS NOT NULL
        )
)
WHERE letters IS NOT NULL;

CREATE OR REPLACE TEMP TABLE found AS
SELECT label, priority, asked, key, tier, taxon_id, accepted_id, letters AS distance
FROM plausible
WHERE
    letters = 1 AND is_mistake
    -- Another author's name is another name.
    AND coalesce(author_agrees, 1) >= 0.5
    AND 'fuzzy' IN (SELECT name FROM strategies)
UNION ALL
SELECT label, priority, asked, key, tier, taxon_id, accepted_id, letters
FROM near_genera
WHERE letters = 1 AND length >= 6 AND 'fuzzy' IN (SELECT name FROM strategies);
