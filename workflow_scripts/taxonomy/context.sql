-- What a label says of its place in the tree of life, by this backbone's lights.
-- In: `label_ranks`, `words` and the attached `backbone`. Out: `contexts`.

-- Which kingdoms a name at a rank is known from.
CREATE OR REPLACE TEMP TABLE kingdoms_of_words AS
SELECT asked.rank, asked.key, min(kingdom_key(taxa.kingdom)) AS kingdom
FROM (SELECT DISTINCT rank, key FROM words WHERE rank IN ('phylum', 'class', 'order', 'family')) AS asked
JOIN backbone.names AS names ON names.key = asked.key AND names.rank = asked.rank
JOIN backbone.taxa AS taxa ON taxa.taxon_id = names.accepted_id
WHERE taxa.kingdom IS NOT NULL
GROUP BY asked.rank, asked.key
HAVING count(DISTINCT kingdom_key(taxa.kingdom)) = 1;

-- `kingdoms`: the kingdoms that the label allows; NULL when it establishes none. The kingdom column counts first, then
-- the highest rank whose name is known from one kingdom only.
CREATE OR REPLACE TEMP TABLE contexts AS
SELECT
    label_ranks.label_id,
    coalesce(
        kingdoms_meant(label_ranks.kingdom),
        CASE WHEN of_phylum.kingdom IS NOT NULL THEN [of_phylum.kingdom] END,
        CASE WHEN of_class.kingdom IS NOT NULL THEN [of_class.kingdom] END,
        CASE WHEN of_order.kingdom IS NOT NULL THEN [of_order.kingdom] END,
        CASE WHEN of_family.kingdom IS NOT NULL THEN [of_family.kingdom] END
    ) AS kingdoms,
    name_key(label_ranks.phylum) AS phylum,
    name_key(label_ranks.class) AS class,
    name_key(label_ranks."order") AS "order",
    name_key(label_ranks.family) AS family
FROM label_ranks
LEFT JOIN kingdoms_of_words AS of_phylum ON of_phylum.rank = 'phylum' AND of_phylum.key = name_key(label_ranks.phylum)
LEFT JOIN kingdoms_of_words AS of_class ON of_class.rank = 'class' AND of_class.key = name_key(label_ranks.class)
LEFT JOIN kingdoms_of_words AS of_order ON of_order.rank = 'order' AND of_order.key = name_key(label_ranks."order")
LEFT JOIN kingdoms_of_words AS of_family ON of_family.rank = 'family' AND of_family.key = name_key(label_ranks.family);
