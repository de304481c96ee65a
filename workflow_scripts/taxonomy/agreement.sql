-- Macros that compare a candidate with the label. NULL neither agrees nor differs.

CREATE OR REPLACE TEMP MACRO agrees(one, other) AS coalesce((one = other)::INTEGER, 0);
CREATE OR REPLACE TEMP MACRO differs(one, other) AS coalesce((one != other)::INTEGER, 0);

-- A candidate outside the kingdoms that the label allows is never the answer. `kingdom` is a `kingdom_key`.
CREATE OR REPLACE TEMP MACRO in_conflict(kingdoms, kingdom) AS coalesce(NOT list_contains(kingdoms, kingdom), false);

-- If two or more ranks below the kingdom differ and none agrees, the candidate is another organism of the same name.
CREATE OR REPLACE TEMP MACRO is_another(agreeing, differing) AS agreeing = 0 AND differing >= 2;

-- Candidates with the same seven ranks are one answer. Names contain no bar; `concat` skips NULL.
CREATE OR REPLACE TEMP MACRO answer_key(taxon) AS concat(
    taxon.kingdom, '|', taxon.phylum, '|', taxon.class, '|', taxon."order", '|', taxon.family, '|', taxon.genus, '|',
    taxon.species
);

-- The `answer_key` of the taxon's ancestor at a `rank_place`.
CREATE OR REPLACE TEMP MACRO answer_key_above(taxon, place) AS concat(
    taxon.kingdom,
    '|', CASE WHEN place > 1 THEN taxon.phylum END,
    '|', CASE WHEN place > 2 THEN taxon.class END,
    '|', CASE WHEN place > 3 THEN taxon."order" END,
    '|', CASE WHEN place > 4 THEN taxon.family END,
    '|', CASE WHEN place > 5 THEN taxon.genus END,
    '|'
);

-- The place of a rank from 1, kingdom, to 6, genus; NULL for any other rank.
CREATE OR REPLACE TEMP MACRO rank_place(rank) AS
    list_position(['kingdom', 'phylum', 'class', 'order', 'family', 'genus'], rank);

-- A name's key, capitalised for display.
CREATE OR REPLACE TEMP MACRO shown(key) AS upper(left(key, 1)) || substr(key, 2);

CREATE OR REPLACE TEMP MACRO shown_kingdoms(kingdoms) AS
    array_to_string(list_transform(kingdoms, lambda kingdom: shown(kingdom)), ' or ');

-- How messages describe a name that is not a species.
CREATE OR REPLACE TEMP MACRO other_rank(rank) AS CASE
    WHEN coalesce(rank, '') IN ('', 'unranked', 'no rank', 'other', 'unknown') THEN 'an unranked name'
    ELSE 'a name of the rank ' || rank
END;

-- A taxon's id with its kingdom and family, to distinguish homonyms in messages.
CREATE OR REPLACE TEMP MACRO placed_id(taxon) AS
    taxon.answer_id || ' (' || concat_ws(' ', taxon.kingdom, coalesce(taxon.family, taxon."order", taxon.class)) || ')';

-- An author's surnames as keys: "(L.) H.Karst. ex Müll.Arg., 1881" is [linnaeus, karst, mull, arg].
CREATE OR REPLACE TEMP MACRO surnames(author) AS list_distinct(list_transform(
    list_filter(
        regexp_extract_all(
            -- Drop initials and references to other authors ("sensu", "non").
            regexp_replace(
                regexp_replace(author, '(?i)[ ,]+(?:emend|sensu|auct|non|nec)[^\p{L}].*', ''),
                '(?:\p{Lu}\p{Ll}?\.[ -]?)+(\p{Lu}\p{Ll})', '\1', 'g'
            ),
            '\p{L}[\p{L}''’-]*'
        ),
        -- Drop particles, "ex", "f." and initials; only Linnaeus is abbreviated to one letter.
        lambda word: regexp_matches(word, '^\p{Lu}.|^L$')
    ),
    lambda word: CASE name_key(word)
        WHEN 'l' THEN 'linnaeus'
        WHEN 'linn' THEN 'linnaeus'
        WHEN 'linne' THEN 'linnaeus'
        WHEN 'dc' THEN 'candolle'
        ELSE name_key(word)
    END
));

CREATE OR REPLACE TEMP MACRO year_of(author) AS
    nullif(regexp_extract(author, '(?:^|[^0-9])(1[5-9][0-9]{2}|20[0-9]{2})(?:[^0-9]|$)', 1), '')::INTEGER;

-- Whether one surname abbreviates the other: "Michx" is Michaux, "Lam" is Lamarck.
CREATE OR REPLACE TEMP MACRO abbreviates(short, long) AS
    starts_with(long, short)
    OR (
        length(short) >= 3 AND length(short) < length(long) AND left(short, 1) = left(long, 1)
        AND regexp_matches(long, array_to_string(string_split(regexp_replace(short, '[^a-z]', '', 'g'), ''), '.*'))
    );

-- The parts of an author that are compared.
CREATE OR REPLACE TEMP MACRO author_key(author) AS {surnames: surnames(author), year: year_of(author)};

-- The number of surnames that occur in the other list.
CREATE OR REPLACE TEMP MACRO surnames_in_common(ones, others) AS len(list_filter(
    ones,
    lambda one: len(list_filter(others, lambda other: abbreviates(one, other) OR abbreviates(other, one))) > 0
));

-- The agreement of two authors (`author_key`), from 0 (different people) to 1; NULL if they cannot be compared. Years of
-- publication more than one apart halve it.
CREATE OR REPLACE TEMP MACRO authors_agree(one, other) AS
    CASE
        WHEN len(one.surnames) > 0 AND len(other.surnames) > 0
            THEN (
                surnames_in_common(one.surnames, other.surnames) + surnames_in_common(other.surnames, one.surnames)
            )::DOUBLE / (len(one.surnames) + len(other.surnames))
        WHEN one.year = other.year THEN 0.5
    END
    * CASE WHEN abs(one.year - other.year) > 1 THEN 0.5 ELSE 1 END;
