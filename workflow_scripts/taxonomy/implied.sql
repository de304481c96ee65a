-- Higher taxa that stand only in the rows' own ranks, as usages of their own: without them a list of species has no
-- family, and a list of binomials no genus. In: `named`, `parsed`, `usages`. Out: more rows of `named`.

CREATE TEMP TABLE paths AS
SELECT DISTINCT
    kingdom_word.word AS kingdom,
    phylum_word.word AS phylum,
    class_word.word AS class,
    order_word.word AS "order",
    family_word.word AS family,
    coalesce(
        genus_word.word,
        -- A checklist with parents has the genera that it wants.
        CASE WHEN named.epithet IS NOT NULL AND NOT getvariable('has_parents') THEN named.word END
    ) AS genus
FROM named
LEFT JOIN parsed AS kingdom_word ON kingdom_word.written = named.flat.kingdom
LEFT JOIN parsed AS phylum_word ON phylum_word.written = named.flat.phylum
LEFT JOIN parsed AS class_word ON class_word.written = named.flat.class
LEFT JOIN parsed AS order_word ON order_word.written = named.flat."order"
LEFT JOIN parsed AS family_word ON family_word.written = named.flat.family
LEFT JOIN parsed AS genus_word ON genus_word.written = named.flat.genus
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
wanted AS (
    SELECT *
    FROM candidates
    ANTI JOIN (
        SELECT rank, name FROM named WHERE standing IN ('accepted', 'doubtful', 'unknown')
    ) AS placed USING (rank, name)
    WHERE name IS NOT NULL
),
-- Rows that leave ranks out, or give them all alike, mean one taxon.
agreed AS (
    SELECT rank, name, max(kingdom) AS kingdom, max(phylum) AS phylum, max(class) AS class, max("order") AS "order",
        max(family) AS family
    FROM wanted
    GROUP BY rank, name
    HAVING
        greatest(
            count(DISTINCT kingdom), count(DISTINCT phylum), count(DISTINCT class), count(DISTINCT "order"),
            count(DISTINCT family)
        ) <= 1
)
SELECT rank || ' ' || name AS id, * FROM agreed
UNION ALL
SELECT concat_ws(' ', rank, name, 'in', family, "order", class, phylum, kingdom), wanted.*
FROM wanted
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
