-- Add usages for higher taxa that occur only in rank columns: otherwise a list of species has no families, and a list of
-- binomials no genera. In: `named`, `usages`. Out: more rows of `named`.

CREATE TEMP TABLE paths AS
SELECT DISTINCT
    flat.kingdom AS kingdom,
    flat.phylum AS phylum,
    flat.class AS class,
    flat."order" AS "order",
    flat.family AS family,
    -- A checklist with parents has rows for its genera.
    coalesce(flat.genus, CASE WHEN epithet IS NOT NULL AND NOT getvariable('has_parents') THEN word END) AS genus
FROM named
WHERE standing IN ('accepted', 'doubtful', 'unknown');

CREATE TEMP TABLE implied AS
WITH candidates AS (
    SELECT DISTINCT 'kingdom' AS rank, kingdom AS name, NULL AS kingdom, NULL AS phylum, NULL AS class,
        NULL AS "order", NULL AS family
    FROM paths
    UNION ALL SELECT DISTINCT 'phylum', phylum, kingdom, NULL, NULL, NULL, NULL FROM paths
    UNION ALL SELECT DISTINCT 'class', class, kingdom, phylum, NULL, NULL, NULL FROM paths
    UNION ALL SELECT DISTINCT 'order', "order", kingdom, phylum, class, NULL, NULL FROM paths
    UNION ALL SELECT DISTINCT 'family', family, kingdom, phylum, class, "order", NULL FROM paths
    UNION ALL SELECT DISTINCT 'genus', genus, kingdom, phylum, class, "order", family FROM paths
),
missing AS (
    SELECT *
    FROM candidates
    ANTI JOIN (
        SELECT rank, name FROM named WHERE standing IN ('accepted', 'doubtful', 'unknown')
    ) AS placed USING (rank, name)
    WHERE name IS NOT NULL
),
-- Rows that do not contradict one another mean one taxon.
agreed AS (
    SELECT rank, name, max(kingdom) AS kingdom, max(phylum) AS phylum, max(class) AS class, max("order") AS "order",
        max(family) AS family
    FROM missing
    GROUP BY rank, name
    HAVING
        greatest(
            count(DISTINCT kingdom), count(DISTINCT phylum), count(DISTINCT class), count(DISTINCT "order"),
            count(DISTINCT family)
        ) <= 1
)
SELECT rank || ' ' || name AS id, * FROM agreed
UNION ALL
SELECT concat_ws(' ', rank, name, 'in', family, "order", class, phylum, kingdom), missing.*
FROM missing
ANTI JOIN agreed USING (rank, name);

INSERT INTO named BY NAME
SELECT
    id,
    name AS written,
    name,
    name AS word,
    rank,
    rank AS given_rank,
    10 * list_position(['kingdom', 'phylum', 'class', 'order', 'family', 'genus'], rank) AS rank_place,
    false AS is_species_level,
    false AS has_no_rank,
    false AS has_unknown_status,
    'accepted' AS standing,
    {kingdom: kingdom, phylum: phylum, class: class, "order": "order", family: family, genus: NULL} AS flat,
    true AS is_implied
FROM implied
WHERE id NOT IN (SELECT id FROM usages);
