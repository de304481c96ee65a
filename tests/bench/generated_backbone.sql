-- A backbone of the shape of GBIF's and labels for it, as tables. Variables: species (accepted ones; there are as many
-- synonyms), labels. Out: `taxon_rows`, `label_rows`.

CREATE OR REPLACE TEMP MACRO syllable(number) AS
    substr('bcdfghlmnprstvbr', (number % 16 + 1)::INTEGER, 1) || substr('aeiou', ((number // 16) % 5 + 1)::INTEGER, 1);

-- Pronounceable words, as many as wanted, none twice: the number in base 80, so scrambled that neighbours do not look alike.
CREATE OR REPLACE TEMP MACRO word(number) AS (
    syllable((number * 7919) % 80)
    || syllable((number // 80 + number * 31) % 80)
    || syllable((number // 6400 + number * 17) % 80)
    || syllable((number // 512000 + number * 13) % 80)
);

CREATE OR REPLACE TEMP MACRO lot(number, salt) AS hash(number * 1000003 + salt) % 1000000007;

CREATE OR REPLACE TEMP MACRO author(number) AS
    upper(substr(word(number % 5000), 1, 1)) || substr(word(number % 5000), 2, 6) || ', ' || (1758 + number % 260);

-- Thirty thousand epithets serve all genera, as in nature.
CREATE OR REPLACE TEMP MACRO epithet(number) AS
    word(900000 + number % 30000)
    || ['us', 'a', 'um', 'is', 'ensis', 'i'][(number % 6 + 1)::INTEGER];

CREATE OR REPLACE TEMP TABLE higher AS
SELECT 'k' || i AS id, NULL AS parent, ['Animalia', 'Plantae', 'Fungi', 'Chromista', 'Bacteria'][i + 1] AS name,
    'kingdom' AS rank
FROM range(5) AS t (i)
UNION ALL
SELECT 'p' || i, 'k' || i % 5, upper(word(i)[1]) || word(i)[2:] || 'ophyta', 'phylum' FROM range(50) AS t (i)
UNION ALL
SELECT 'c' || i, 'p' || i % 50, upper(word(i)[1]) || word(i)[2:] || 'opsida', 'class' FROM range(250) AS t (i)
UNION ALL
SELECT 'o' || i, 'c' || i % 250, upper(word(i)[1]) || word(i)[2:] || 'ales', 'order' FROM range(1500) AS t (i)
UNION ALL
SELECT 'f' || i, 'o' || i % 1500, upper(word(i)[1]) || word(i)[2:] || 'aceae', 'family' FROM range(9000) AS t (i);

-- Ten species a genus. One genus name in a hundred stands twice, in two kingdoms: its species are homonyms.
CREATE OR REPLACE TEMP TABLE genera AS
SELECT
    i AS number,
    'g' || i AS id,
    'f' || i % 9000 AS parent,
    upper(word(i - (i % 100 = 1)::INTEGER + 20000)[1]) || word(i - (i % 100 = 1)::INTEGER + 20000)[2:] || 'a' AS name
FROM range(getvariable('species')::BIGINT // 10) AS t (i);

CREATE OR REPLACE TEMP TABLE species AS
SELECT
    i AS number,
    's' || i AS id,
    genera.id AS parent,
    genera.number AS genus_number,
    genera.name AS genus,
    genera.name || ' ' || epithet(i // 10 * 37 - (genera.number % 100 = 1)::INTEGER * 37 + i % 10 * 2999) AS name
FROM range(getvariable('species')::BIGINT) AS t (i)
JOIN genera ON genera.number = i // 10;

CREATE OR REPLACE TEMP TABLE taxon_rows AS
SELECT id AS "taxonID", parent AS "parentNameUsageID", NULL AS "acceptedNameUsageID", name AS "scientificName",
    NULL AS "scientificNameAuthorship", rank AS "taxonRank", 'accepted' AS "taxonomicStatus"
FROM higher
UNION ALL
SELECT id, parent, NULL, name || ' ' || author(number), author(number), 'genus', 'accepted' FROM genera
UNION ALL
SELECT id, parent, NULL, name || ' ' || author(number), author(number), 'species', 'accepted' FROM species
UNION ALL
-- Half of the synonyms stand in another genus.
SELECT
    'y' || species.number,
    species.parent,
    species.id,
    CASE WHEN species.number % 2 = 0 THEN other.name ELSE species.genus END || ' ' || epithet(species.number + 15551)
    || ' (' || author(species.number + 7) || ')',
    author(species.number + 7),
    'species',
    CASE WHEN species.number % 3 = 0 THEN 'homotypic synonym' ELSE 'synonym' END
FROM species
JOIN genera AS other ON other.number = (species.genus_number + 17) % (getvariable('species')::BIGINT // 10);

-- Of a hundred labels 60 are as the backbone has them, 20 synonyms, 5 misspelt, 5 with authors, 5 in doubt, 5 unknown.
CREATE OR REPLACE TEMP TABLE label_rows AS
SELECT
    md5(i::VARCHAR) AS label_id,
    CASE WHEN higher_kingdom.name = 'Plantae' AND kind % 2 = 0 THEN 'Viridiplantae' ELSE higher_kingdom.name END
        AS kingdom,
    phyla.name AS phylum,
    CASE WHEN i % 7 > 1 THEN classes.name END AS class,
    CASE WHEN i % 5 > 0 THEN orders.name END AS "order",
    families.name AS family,
    split_part(written, ' ', 1) AS genus,
    CASE
        WHEN kind BETWEEN 90 AND 94 THEN 'sp.'
        ELSE substr(written, instr(written, ' ') + 1)
    END AS species,
    CASE WHEN kind BETWEEN 90 AND 94 THEN split_part(written, ' ', 1) || ' sp.' ELSE written END AS scientific_name,
    NULL::VARCHAR AS common,
    NULL::VARCHAR AS taxon_key,
    1 + (lot(i, 5) % 400)::BIGINT AS images
FROM (
    SELECT
        picked.i,
        picked.kind,
        species.genus_number,
        CASE
            WHEN kind < 60 OR kind BETWEEN 90 AND 94 THEN species.name
            WHEN kind < 80 THEN regexp_extract(synonyms."scientificName", '^\S+ \S+')
            -- A letter doubled, or left out, or one for another.
            WHEN kind < 85 THEN CASE i % 3
                WHEN 0 THEN species.name[:-4] || species.name[-4] || species.name[-4:]
                WHEN 1 THEN species.name[:-5] || species.name[-3:]
                ELSE species.name[:-4] || 'o' || species.name[-2:]
            END
            WHEN kind < 90 THEN species.name || ' ' || author(i)
            ELSE species.genus || ' ' || 'incognitus' || word(i)
        END AS written
    FROM (
        SELECT i, lot(i, 1) % 100 AS kind, lot(i, 2) % getvariable('species')::BIGINT AS number
        FROM range(getvariable('labels')::BIGINT) AS t (i)
    ) AS picked
    JOIN species ON species.number = picked.number
    LEFT JOIN taxon_rows AS synonyms ON synonyms."taxonID" = 'y' || picked.number
) AS made
JOIN genera ON genera.number = made.genus_number
JOIN higher AS families ON families.id = genera.parent
JOIN higher AS orders ON orders.id = families.parent
JOIN higher AS classes ON classes.id = orders.parent
JOIN higher AS phyla ON phyla.id = classes.parent
JOIN higher AS higher_kingdom ON higher_kingdom.id = phyla.parent;
