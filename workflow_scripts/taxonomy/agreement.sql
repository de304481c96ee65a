-- How far a candidate's ranks agree with the label's. In both, NULL says nothing.

CREATE OR REPLACE TEMP MACRO agrees(one, other) AS coalesce((one = other)::INTEGER, 0);
CREATE OR REPLACE TEMP MACRO differs(one, other) AS coalesce((one != other)::INTEGER, 0);

-- A candidate outside the kingdoms that the label allows is never the answer.
CREATE OR REPLACE TEMP MACRO in_conflict(kingdoms, kingdom) AS
    coalesce(NOT list_contains(kingdoms, kingdom_key(kingdom)), false);

-- Candidates that would give the same seven ranks are one answer. A name has no bar in it; NULL adds nothing.
CREATE OR REPLACE TEMP MACRO answer_key(taxon) AS concat(
    taxon.kingdom, '|', taxon.phylum, '|', taxon.class, '|', taxon."order", '|', taxon.family, '|', taxon.genus, '|',
    taxon.species
);

-- The same of the taxon above it at a place of `rank_place`.
CREATE OR REPLACE TEMP MACRO answer_key_above(taxon, place) AS concat(
    taxon.kingdom,
    '|', CASE WHEN place > 1 THEN taxon.phylum END,
    '|', CASE WHEN place > 2 THEN taxon.class END,
    '|', CASE WHEN place > 3 THEN taxon."order" END,
    '|', CASE WHEN place > 4 THEN taxon.family END,
    '|', CASE WHEN place > 5 THEN taxon.genus END,
    '|'
);

-- The ranks above the species from the highest, 1, to the genus, 6; NULL for any other.
CREATE OR REPLACE TEMP MACRO rank_place(rank) AS
    list_position(['kingdom', 'phylum', 'class', 'order', 'family', 'genus'], rank);

-- A name's key as a person writes the name.
CREATE OR REPLACE TEMP MACRO shown(key) AS upper(left(key, 1)) || substr(key, 2);

CREATE OR REPLACE TEMP MACRO shown_kingdoms(kingdoms) AS
    array_to_string(list_transform(kingdoms, lambda kingdom: shown(kingdom)), ' or ');

-- A taxon's id with where it stands, to tell it from its homonyms.
CREATE OR REPLACE TEMP MACRO placed_id(taxon) AS
    taxon.answer_id || ' (' || concat_ws(' ', taxon.kingdom, coalesce(taxon.family, taxon."order", taxon.class)) || ')';
