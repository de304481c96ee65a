-- Misspelt binomials: the epithet within its genus, or the genus within the label's family: strategy fuzzy.
-- In: `queries`, `contexts`, `species_outcomes`, `strategies` and the attached `backbone`. Out: `found`.

-- How many letters may differ. Short words have too many neighbours that are words of their own: of 917 species of 42
-- genera (tests/taxonomy/gold/genera.txt), each left out of the backbone in turn, a sibling stands for 14 with two
-- letters from length 8 on, for 8 from 9 on, for none from 10 on; for 6 with one letter from 4 on, for 4 from 5 on, for
-- none from 6 on. So it reads 91 % of generated misspellings by one letter; 7 in place of 6 would read 81 %.
CREATE OR REPLACE TEMP MACRO letters_allowed(one, other) AS CASE
    WHEN least(length(one), length(other)) >= 10 THEN 2
    WHEN least(length(one), length(other)) >= 6 THEN 1
    ELSE 0
END;

-- An epithet without the ending that follows its genus ("albus", "alba", "album") or its author ("smithi", "smithii").
CREATE OR REPLACE TEMP MACRO stem(epithet) AS
    regexp_replace(epithet, '(?:us|a|um|is|e|os|on|ii?)$', '');

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

-- The number of letters that differ; NULL when they are too many, or tell two species apart. One ending for another
-- counts as one letter.
CREATE OR REPLACE TEMP MACRO misspelling(one, other) AS CASE
    WHEN abs(length(one) - length(other)) > 2 THEN NULL
    -- The costly tests are for the few pairs that are near; letters that changed places count twice here.
    WHEN levenshtein(one, other) > 2 * letters_allowed(one, other)
        AND (left(one, 3) != left(other, 3) OR stem(one) != stem(other))
        THEN NULL
    WHEN coalesce(telling_prefix(one) != telling_prefix(other), false) THEN NULL
    WHEN damerau_levenshtein(one, other) <= letters_allowed(one, other) THEN damerau_levenshtein(one, other)
    WHEN length(stem(one)) >= 3 AND stem(one) = stem(other) THEN 1
END;

-- The first binomial that nobody knows, of the columns meant for one.
CREATE OR REPLACE TEMP TABLE unknown_binomials AS
SELECT queries.label, queries.priority, queries.key, queries.genus, queries.epithet, contexts.family
FROM queries
JOIN contexts USING (label)
ANTI JOIN species_outcomes USING (label)
WHERE NOT queries.is_hidden AND queries.epithet IS NOT NULL AND 'fuzzy' IN (SELECT name FROM strategies)
QUALIFY queries.priority = min(queries.priority) OVER (PARTITION BY queries.label);

CREATE OR REPLACE TEMP TABLE found AS
SELECT *
FROM (
    SELECT asked.label, asked.priority, asked.key AS asked, names.key, names.tier, names.taxon_id,
        names.accepted_id, misspelling(asked.epithet, names.epithet) AS distance
    FROM unknown_binomials AS asked
    JOIN backbone.names AS names ON names.genus = asked.genus
    WHERE names.epithet IS NOT NULL
    UNION ALL
    SELECT asked.label, asked.priority, asked.key, names.key, names.tier, names.taxon_id, names.accepted_id,
        misspelling(asked.genus, names.genus)
    FROM unknown_binomials AS asked
    JOIN backbone.names AS names ON names.epithet = asked.epithet AND names.family = asked.family
    WHERE names.genus != asked.genus
)
WHERE distance IS NOT NULL;
