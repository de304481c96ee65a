-- A Darwin Core checklist as names that can be looked up and taxa with their seven ranks.
-- In: `taxon_rows` and `vernacular_rows`, everything text or NULL, columns by their Darwin Core names.
-- Out: the tables `names`, `taxa` and `vernaculars`, and `counts` for the summary.

CREATE OR REPLACE TEMP MACRO backbone_id(id) AS getvariable('backbone') || ':' || id;

-- One row an id. Should an id come twice, the first by all its values stays.
CREATE TEMP TABLE repeated AS
SELECT "taxonID" AS id
FROM taxon_rows
WHERE "taxonID" IS NOT NULL
GROUP BY "taxonID"
HAVING count(*) > 1;

CREATE TEMP TABLE usages AS
SELECT
    "taxonID" AS id,
    nullif("parentNameUsageID", "taxonID") AS parent_id,
    nullif("acceptedNameUsageID", "taxonID") AS accepted_id,
    coalesce("canonicalName", "scientificName") AS written,
    "scientificNameAuthorship" AS written_author,
    "scientificName" AS full_name,
    lower("taxonRank") AS rank,
    lower(coalesce("taxonomicStatus", '')) AS status,
    kingdom,
    phylum,
    class,
    "order",
    family,
    genus
FROM (
    SELECT * FROM taxon_rows WHERE "taxonID" IS NOT NULL AND "taxonID" NOT IN (SELECT id FROM repeated)
    UNION ALL
    SELECT *
    FROM taxon_rows AS given
    WHERE "taxonID" IN (SELECT id FROM repeated)
    QUALIFY row_number() OVER (PARTITION BY "taxonID" ORDER BY given) = 1
);

CREATE TEMP TABLE texts AS
SELECT written FROM usages
UNION SELECT kingdom FROM usages
UNION SELECT phylum FROM usages
UNION SELECT class FROM usages
UNION SELECT "order" FROM usages
UNION SELECT family FROM usages
UNION SELECT genus FROM usages;

CREATE TEMP TABLE parsed AS
SELECT * FROM parsed_names('texts');

-- What stands behind a name's last word: its author. An autonym's author stands before it ("Aus bus Smith var. bus").
CREATE OR REPLACE TEMP MACRO author_behind(full_name, last_word) AS CASE
    WHEN contains(full_name || ' ', ' ' || last_word || ' ')
        THEN nullif(trim(string_split(full_name || ' ', ' ' || last_word || ' ')[-1]), '')
    WHEN starts_with(full_name, last_word || ' ') THEN nullif(trim(substr(full_name, length(last_word) + 1)), '')
END;

-- A species without an epithet that can be read (a virus, a hybrid formula, "sp. 1") keeps its whole text as its name:
-- it must not stand for its genus.
CREATE TEMP TABLE named AS
SELECT
    usages.* EXCLUDE (kingdom, phylum, class, "order", family, genus, written_author, full_name),
    coalesce(rank IN ('species', 'subspecies', 'variety', 'form', 'subvariety', 'subform'), false) AS is_species_level,
    -- Kept beside: what the row itself says of its ranks.
    {kingdom: kingdom, phylum: phylum, class: class, "order": "order", family: family, genus: genus} AS flat,
    CASE
        WHEN status LIKE '%misapplied%' THEN 'misapplied'
        WHEN status LIKE '%synonym%' OR accepted_id IS NOT NULL THEN 'synonym'
        WHEN status LIKE '%doubtful%' OR status LIKE '%unresolved%' OR status LIKE '%uncertain%' THEN 'doubtful'
        ELSE 'accepted'
    END AS standing,
    parsed.word AS word,
    parsed.epithet AS epithet,
    parsed.infra AS infra,
    CASE
        -- "incertae sedis", "Not assigned": a place kept free, whatever its rank.
        WHEN parsed.word IS NULL AND says_unknown(plain_text(usages.written)) THEN NULL
        WHEN is_species_level AND parsed.epithet IS NULL THEN plain_text(usages.written)
        WHEN parsed.word IS NULL THEN plain_text(usages.written)
        ELSE concat_ws(' ', parsed.word, parsed.epithet, parsed.infra)
    END AS name,
    CASE
        WHEN usages.written_author IS NOT NULL THEN usages.written_author
        WHEN is_species_level AND parsed.epithet IS NULL THEN NULL
        ELSE author_behind(usages.full_name, coalesce(parsed.infra, parsed.epithet, parsed.word))
    END AS authorship
FROM usages
LEFT JOIN parsed ON parsed.written = usages.written;

-- Synonyms of synonyms: follow until a name that is none. The bound ends cycles; no checklist has such chains.
CREATE TEMP TABLE synonym_steps AS
WITH RECURSIVE chain AS (
    SELECT id, accepted_id AS target, 1 AS steps
    FROM named
    WHERE standing = 'synonym' AND accepted_id IS NOT NULL
    UNION ALL
    SELECT chain.id, next.accepted_id, chain.steps + 1
    FROM chain
    JOIN named AS next ON next.id = chain.target
    WHERE next.standing = 'synonym' AND next.accepted_id IS NOT NULL AND chain.steps < 32
)
SELECT chain.id, chain.target, chain.steps, target.standing AS target_standing
FROM chain
LEFT JOIN named AS target ON target.id = chain.target;

CREATE TEMP TABLE accepted_of AS
SELECT id, id AS accepted_id
FROM named
WHERE standing IN ('accepted', 'doubtful')
UNION ALL
SELECT id, target
FROM synonym_steps
WHERE target_standing IN ('accepted', 'doubtful');

-- What is placed in the tree: accepted names below their accepted parents. A parent that does not exist makes a root.
CREATE TEMP TABLE placed AS
SELECT named.*, nullif(parent.accepted_id, named.id) AS parent
FROM named
LEFT JOIN accepted_of AS parent ON parent.id = named.parent_id
WHERE standing IN ('accepted', 'doubtful');

-- What a taxon adds to the ranks of those above it.
CREATE OR REPLACE TEMP MACRO own_name(rank, name, wanted) AS CASE WHEN rank = wanted THEN name END;

CREATE OR REPLACE TEMP MACRO own_anchor(rank, id) AS CASE
    WHEN rank IN ('kingdom', 'phylum', 'class', 'order', 'family', 'genus', 'species') THEN id
END;

-- From the roots down, each taxon once. `anchor_id` is the nearest taxon, itself or above, at one of the seven ranks.
CREATE TEMP TABLE walked AS
WITH RECURSIVE walk AS (
    SELECT
        id,
        own_name(rank, name, 'kingdom') AS kingdom,
        own_name(rank, name, 'phylum') AS phylum,
        own_name(rank, name, 'class') AS class,
        own_name(rank, name, 'order') AS "order",
        own_name(rank, name, 'family') AS family,
        own_name(rank, name, 'genus') AS genus,
        CASE WHEN rank = 'species' THEN epithet END AS species,
        own_anchor(rank, id) AS anchor_id
    FROM placed
    WHERE parent IS NULL
    UNION ALL
    SELECT
        placed.id,
        coalesce(own_name(rank, name, 'kingdom'), walk.kingdom),
        coalesce(own_name(rank, name, 'phylum'), walk.phylum),
        coalesce(own_name(rank, name, 'class'), walk.class),
        coalesce(own_name(rank, name, 'order'), walk."order"),
        coalesce(own_name(rank, name, 'family'), walk.family),
        coalesce(own_name(rank, name, 'genus'), walk.genus),
        CASE WHEN rank = 'species' THEN epithet ELSE walk.species END,
        coalesce(own_anchor(rank, placed.id), walk.anchor_id)
    FROM walk
    JOIN placed ON placed.parent = walk.id
)
SELECT * FROM walk;

-- Taxa in a cycle of parents, and those below one, are never reached; they keep what their own rows say.
CREATE TEMP TABLE circular AS
SELECT id
FROM placed
WHERE id NOT IN (SELECT id FROM walked);

INSERT INTO walked
SELECT
    id,
    own_name(rank, name, 'kingdom'),
    own_name(rank, name, 'phylum'),
    own_name(rank, name, 'class'),
    own_name(rank, name, 'order'),
    own_name(rank, name, 'family'),
    own_name(rank, name, 'genus'),
    CASE WHEN rank = 'species' THEN epithet END,
    own_anchor(rank, id)
FROM placed
WHERE id IN (SELECT id FROM circular);

-- The seven ranks: from the parents, else from the row itself.
CREATE TEMP TABLE classified AS
SELECT
    placed.id,
    placed.rank,
    coalesce(walked.kingdom, kingdom_word.word) AS kingdom,
    coalesce(walked.phylum, phylum_word.word) AS phylum,
    coalesce(walked.class, class_word.word) AS class,
    coalesce(walked."order", order_word.word) AS "order",
    coalesce(walked.family, family_word.word) AS family,
    -- A binomial says its genus itself.
    CASE
        WHEN is_species_level AND placed.epithet IS NOT NULL THEN placed.word
        ELSE coalesce(walked.genus, genus_word.word)
    END AS genus,
    -- So does a subspecies its species, where no parent does.
    CASE WHEN is_species_level THEN coalesce(walked.species, placed.epithet) END AS species,
    -- The taxon at the lowest of the seven ranks: a subspecies answers as its species, a tribe as its family.
    CASE
        WHEN is_species_level AND walked.species IS NULL THEN placed.id
        ELSE coalesce(walked.anchor_id, placed.id)
    END AS answer_id
FROM placed
JOIN walked ON walked.id = placed.id
LEFT JOIN parsed AS kingdom_word ON kingdom_word.written = placed.flat.kingdom
LEFT JOIN parsed AS phylum_word ON phylum_word.written = placed.flat.phylum
LEFT JOIN parsed AS class_word ON class_word.written = placed.flat.class
LEFT JOIN parsed AS order_word ON order_word.written = placed.flat."order"
LEFT JOIN parsed AS family_word ON family_word.written = placed.flat.family
LEFT JOIN parsed AS genus_word ON genus_word.written = placed.flat.genus;

CREATE TABLE taxa AS
SELECT
    backbone_id(id) AS taxon_id,
    backbone_id(answer_id) AS answer_id,
    kingdom,
    phylum,
    class,
    "order",
    family,
    genus,
    species,
    CASE
        WHEN species IS NOT NULL AND genus IS NOT NULL THEN genus || ' ' || species
        ELSE coalesce(genus, family, "order", class, phylum, kingdom)
    END AS scientific_name,
    CASE
        WHEN species IS NOT NULL AND genus IS NOT NULL THEN 'species'
        WHEN genus IS NOT NULL THEN 'genus'
        WHEN family IS NOT NULL THEN 'family'
        WHEN "order" IS NOT NULL THEN 'order'
        WHEN class IS NOT NULL THEN 'class'
        WHEN phylum IS NOT NULL THEN 'phylum'
        WHEN kingdom IS NOT NULL THEN 'kingdom'
    END AS resolved_rank
FROM classified
WHERE resolved_rank IS NOT NULL
ORDER BY taxon_id;

-- `tier` is the order of preference among names that fit equally well: accepted, synonym, doubtful.
CREATE TABLE names AS
SELECT
    name_key(named.name) AS key,
    named.rank,
    named.is_species_level,
    CASE named.standing WHEN 'accepted' THEN 0 WHEN 'synonym' THEN 1 ELSE 2 END::TINYINT AS tier,
    backbone_id(named.id) AS taxon_id,
    -- Of a binomial: its parts and the accepted taxon's family, to look for what is misspelt or incomplete.
    CASE WHEN is_binomial THEN name_key(named.word) END AS genus,
    CASE WHEN is_binomial THEN name_key(named.epithet) END AS epithet,
    CASE WHEN is_binomial THEN name_key(classified.family) END AS family,
    -- As the checklist writes it, or what stands behind the name.
    named.authorship,
    backbone_id(accepted_of.accepted_id) AS accepted_id
FROM (
    SELECT *, is_species_level AND epithet IS NOT NULL AND infra IS NULL AS is_binomial
    FROM named
) AS named
JOIN accepted_of USING (id)
JOIN classified ON classified.id = accepted_of.accepted_id
WHERE named.name IS NOT NULL
ORDER BY key, taxon_id;

-- A synonym's common names are its accepted taxon's.
CREATE TABLE vernaculars AS
SELECT
    backbone_id(accepted_of.accepted_id) AS taxon_id,
    lower(trim(vernacular_rows.language)) AS language,
    plain_text("vernacularName") AS name,
    count(*) AS times
FROM vernacular_rows
JOIN accepted_of ON accepted_of.id = vernacular_rows."taxonID"
WHERE name IS NOT NULL AND length(name) <= 100 AND vernacular_rows.language IS NOT NULL
GROUP BY ALL
ORDER BY taxon_id, language, name;

CREATE TEMP TABLE counts AS
SELECT
    (SELECT count(*) FROM taxon_rows) AS "rows",
    (SELECT count(*) FROM taxon_rows WHERE "taxonID" IS NULL) AS rows_without_id,
    (SELECT count("taxonID") FROM taxon_rows) - (SELECT count(*) FROM usages) AS repeated_ids,
    (SELECT count(*) FROM taxa) AS taxa,
    (SELECT count(*) FROM names) AS names,
    (SELECT count(*) FROM names WHERE tier = 1) AS synonyms,
    (SELECT count(*) FROM names WHERE tier = 2) AS doubtful,
    (SELECT count(*) FROM named WHERE standing = 'misapplied') AS misapplied,
    (SELECT count(*) FROM named WHERE name IS NULL) AS unreadable_names,
    (
        SELECT count(*) FROM named
        WHERE parent_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM usages WHERE usages.id = named.parent_id)
    ) AS dangling_parents,
    (SELECT count(*) FROM circular) AS in_parent_cycles,
    (SELECT count(*) FROM named WHERE standing = 'synonym' AND accepted_id IS NULL) AS synonyms_without_accepted,
    (SELECT count(*) FROM synonym_steps WHERE target_standing IS NULL) AS dangling_synonyms,
    (
        SELECT count(*) FROM named
        WHERE standing = 'synonym' AND accepted_id IS NOT NULL
            AND id NOT IN (SELECT id FROM accepted_of)
            AND id NOT IN (SELECT id FROM synonym_steps WHERE target_standing IS NULL)
            AND id IN (SELECT id FROM synonym_steps WHERE steps = 32)
    ) AS in_synonym_cycles,
    (SELECT count(*) FROM vernaculars) AS vernaculars;
