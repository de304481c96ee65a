-- Each usage's accepted names, and the seven ranks of each accepted name.
-- In: `named`, `several`. Out: `accepted_of`, `synonym_steps`, `circular`, `classified`.

CREATE TEMP TABLE links AS
SELECT id, accepted_id AS target FROM named
WHERE standing = 'synonym' AND accepted_id IS NOT NULL AND id NOT IN (SELECT id FROM several)
UNION ALL
SELECT several.id, several.accepted_id FROM several JOIN named USING (id) WHERE named.standing = 'synonym';

-- Follow synonyms of synonyms to a name that is not a synonym. The bound ends cycles; no checklist has chains that long.
CREATE TEMP TABLE synonym_steps AS
WITH RECURSIVE chain AS (
    SELECT id, target, 1 AS steps
    FROM links
    UNION
    SELECT chain.id, next.target, chain.steps + 1
    FROM chain
    JOIN links AS next ON next.id = chain.target
    WHERE chain.steps < 32
)
SELECT chain.id, chain.target, chain.steps, target.standing AS target_standing
FROM chain
LEFT JOIN named AS target ON target.id = chain.target;

CREATE TEMP TABLE accepted_of AS
SELECT id, id AS accepted_id, false AS is_one_of_several
FROM named
WHERE standing IN ('accepted', 'doubtful', 'unknown')
UNION ALL
SELECT id, target, count(*) OVER (PARTITION BY id) > 1
FROM (SELECT DISTINCT id, target FROM synonym_steps WHERE target_standing IN ('accepted', 'doubtful', 'unknown'));

-- The tree: accepted names below their accepted parents. A name whose parent does not exist is a root.
CREATE TEMP TABLE placed AS
SELECT
    named.id,
    named.rank,
    named.rank_place,
    named.is_species_level,
    named.name,
    named.word,
    named.epithet,
    named.flat,
    nullif(parent.accepted_id, named.id) AS parent
FROM named
LEFT JOIN accepted_of AS parent ON parent.id = named.parent_id AND NOT parent.is_one_of_several
WHERE standing IN ('accepted', 'doubtful', 'unknown');

-- The taxon's name, if it is of the rank.
CREATE OR REPLACE TEMP MACRO own_name(rank, name, wanted) AS CASE WHEN rank = wanted THEN name END;

CREATE OR REPLACE TEMP MACRO own_anchor(rank, id) AS CASE
    WHEN rank IN ('kingdom', 'phylum', 'class', 'order', 'family', 'genus', 'species') THEN id
END;

-- Classify taxa from the roots down: a rank is the taxon's own name, else its ancestors', else from its own row.
-- `anchor_id`: the taxon itself or its nearest ancestor at one of the seven ranks.
CREATE OR REPLACE TEMP MACRO walk_down(placed_taxa) AS TABLE
WITH RECURSIVE walk AS (
    SELECT
        id,
        coalesce(own_name(rank, name, 'kingdom'), flat.kingdom) AS kingdom,
        coalesce(own_name(rank, name, 'phylum'), flat.phylum) AS phylum,
        coalesce(own_name(rank, name, 'class'), flat.class) AS class,
        coalesce(own_name(rank, name, 'order'), flat."order") AS "order",
        coalesce(own_name(rank, name, 'family'), flat.family) AS family,
        coalesce(own_name(rank, name, 'genus'), flat.genus) AS genus,
        CASE WHEN rank = 'species' THEN epithet END AS species,
        own_anchor(rank, id) AS anchor_id
    FROM query_table(placed_taxa)
    WHERE parent IS NULL
    UNION ALL
    SELECT
        below.id,
        coalesce(own_name(rank, name, 'kingdom'), walk.kingdom, flat.kingdom),
        coalesce(own_name(rank, name, 'phylum'), walk.phylum, flat.phylum),
        coalesce(own_name(rank, name, 'class'), walk.class, flat.class),
        coalesce(own_name(rank, name, 'order'), walk."order", flat."order"),
        coalesce(own_name(rank, name, 'family'), walk.family, flat.family),
        coalesce(own_name(rank, name, 'genus'), walk.genus, flat.genus),
        CASE WHEN rank = 'species' THEN epithet ELSE walk.species END,
        coalesce(own_anchor(rank, below.id), walk.anchor_id)
    FROM walk
    JOIN query_table(placed_taxa) AS below ON below.parent = walk.id
)
SELECT * FROM walk;

CREATE TEMP TABLE walked AS SELECT * FROM walk_down('placed');

-- Taxa in or below a cycle of parents are not reached. Each cycle is cut above its highest rank.
CREATE TEMP TABLE circular AS
SELECT * FROM placed WHERE id NOT IN (SELECT id FROM walked);

CREATE TEMP TABLE cycles AS
WITH RECURSIVE steps AS (
    SELECT id AS start, parent AS reached, 1 AS steps FROM circular
    UNION ALL
    SELECT steps.start, circular.parent, steps.steps + 1
    FROM steps
    JOIN circular ON circular.id = steps.reached
    WHERE steps.reached != steps.start AND steps.steps < 64
)
SELECT start AS id, min(reached) AS cycle
FROM steps
GROUP BY start
HAVING bool_or(reached = start);

UPDATE circular SET parent = NULL
WHERE id IN (
    SELECT arg_min(circular.id, (coalesce(nullif(circular.rank_place, 0), 100), circular.id))
    FROM circular
    JOIN cycles USING (id)
    GROUP BY cycles.cycle
);

INSERT INTO walked SELECT * FROM walk_down('circular');

CREATE TEMP TABLE classified AS
SELECT
    placed.id,
    placed.rank,
    walked.kingdom,
    walked.phylum,
    walked.class,
    walked."order",
    walked.family,
    -- A binomial contains its genus.
    CASE WHEN is_species_level AND placed.epithet IS NOT NULL THEN placed.word ELSE walked.genus END AS genus,
    -- A subspecies contains its species, if no ancestor is one.
    CASE WHEN is_species_level THEN coalesce(walked.species, placed.epithet) END AS species,
    -- The taxon at the lowest of the seven ranks: the species of a subspecies, the family of a tribe.
    CASE
        WHEN is_species_level AND walked.species IS NULL THEN placed.id
        ELSE coalesce(walked.anchor_id, placed.id)
    END AS answer_id
FROM placed
JOIN walked ON walked.id = placed.id;
