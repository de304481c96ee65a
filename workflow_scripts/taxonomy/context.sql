-- Each label's classification in terms of this backbone.
-- In: `label_ranks` and the attached `backbone`. Out: `contexts`.

-- The accepted taxon for a higher name within a kingdom: "Compositae" is Asteraceae.
CREATE OR REPLACE TEMP TABLE higher_taxa AS
SELECT
    requested.rank,
    requested.key,
    kingdom_key(taxa.kingdom) AS kingdom,
    any_value(name_key(taxa.phylum)) AS phylum,
    any_value(name_key(taxa.class)) AS class,
    any_value(name_key(taxa."order")) AS "order",
    any_value(name_key(taxa.family)) AS family,
    -- Only the best tier counts: accepted names, else synonyms, else doubtful names. All of it must be one taxon.
    count(DISTINCT answer_key(taxa)) = 1 AS is_one
FROM (
    SELECT 'phylum' AS rank, phylum AS key FROM label_ranks
    UNION SELECT 'class', class FROM label_ranks
    UNION SELECT 'order', "order" FROM label_ranks
    UNION SELECT 'family', family FROM label_ranks
) AS requested
JOIN (
    SELECT *
    FROM backbone.names
    WHERE rank IN ('phylum', 'class', 'order', 'family')
) AS names ON names.key = requested.key AND names.rank = requested.rank
JOIN backbone.taxa AS taxa ON taxa.taxon_id = names.accepted_id
WHERE taxa.kingdom IS NOT NULL
GROUP BY requested.rank, requested.key, kingdom_key(taxa.kingdom), names.tier
QUALIFY names.tier = min(names.tier) OVER (PARTITION BY requested.rank, requested.key, kingdom_key(taxa.kingdom));

-- Higher names that occur in only one kingdom.
CREATE OR REPLACE TEMP TABLE kingdoms_of_words AS
SELECT rank, key, min(kingdom) AS kingdom
FROM higher_taxa
GROUP BY rank, key
HAVING count(DISTINCT kingdom) = 1;

-- `kingdoms`: the kingdoms that the label allows; NULL if it determines none. The kingdom column decides, else the
-- highest rank whose name occurs in only one kingdom.
CREATE OR REPLACE TEMP TABLE label_kingdoms AS
SELECT
    label_ranks.label,
    coalesce(
        label_ranks.kingdoms,
        CASE WHEN of_phylum.kingdom IS NOT NULL THEN [of_phylum.kingdom] END,
        CASE WHEN of_class.kingdom IS NOT NULL THEN [of_class.kingdom] END,
        CASE WHEN of_order.kingdom IS NOT NULL THEN [of_order.kingdom] END,
        CASE WHEN of_family.kingdom IS NOT NULL THEN [of_family.kingdom] END
    ) AS kingdoms,
    label_ranks.phylum,
    label_ranks.class,
    label_ranks."order",
    label_ranks.family
FROM label_ranks
LEFT JOIN kingdoms_of_words AS of_phylum ON of_phylum.rank = 'phylum' AND of_phylum.key = label_ranks.phylum
LEFT JOIN kingdoms_of_words AS of_class ON of_class.rank = 'class' AND of_class.key = label_ranks.class
LEFT JOIN kingdoms_of_words AS of_order ON of_order.rank = 'order' AND of_order.key = label_ranks."order"
LEFT JOIN kingdoms_of_words AS of_family ON of_family.rank = 'family' AND of_family.key = label_ranks.family;

-- `phylum` to `family`: the label's ranks, by accepted names if the backbone has them. `filled`: the same, with missing
-- ranks filled in from the backbone's classification of the nearest lower rank that the label gives.
CREATE OR REPLACE TEMP TABLE contexts AS
SELECT
    given.label,
    given.kingdoms,
    coalesce(of_phylum.phylum, given.phylum) AS phylum,
    coalesce(of_class.class, given.class) AS class,
    coalesce(of_order."order", given."order") AS "order",
    coalesce(of_family.family, given.family) AS family,
    {
        phylum: coalesce(of_phylum.phylum, given.phylum, of_class.phylum, of_order.phylum, of_family.phylum),
        class: coalesce(of_class.class, given.class, of_order.class, of_family.class),
        "order": coalesce(of_order."order", given."order", of_family."order"),
        family: coalesce(of_family.family, given.family)
    } AS filled
FROM label_kingdoms AS given
LEFT JOIN higher_taxa AS of_phylum
    ON of_phylum.rank = 'phylum' AND of_phylum.key = given.phylum AND [of_phylum.kingdom] = given.kingdoms
    AND of_phylum.is_one
LEFT JOIN higher_taxa AS of_class
    ON of_class.rank = 'class' AND of_class.key = given.class AND [of_class.kingdom] = given.kingdoms
    AND of_class.is_one
LEFT JOIN higher_taxa AS of_order
    ON of_order.rank = 'order' AND of_order.key = given."order" AND [of_order.kingdom] = given.kingdoms
    AND of_order.is_one
LEFT JOIN higher_taxa AS of_family
    ON of_family.rank = 'family' AND of_family.key = given.family AND [of_family.kingdom] = given.kingdoms
    AND of_family.is_one;
