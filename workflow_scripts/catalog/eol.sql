-- EOL's images with the ranks of their pages' taxa. Tables: `manifest` (media_manifest.csv) and `taxa` (taxon.tab), all
-- text. Variable: taxon_keys (the backbone that taxon.tab's ids belong to).

-- The epithet of a binomial, with its hybrid sign; of other names (of viruses), the full name.
CREATE OR REPLACE TEMP MACRO epithet_of(name) AS CASE
    WHEN regexp_matches(name, '^\p{Lu}\p{Ll}+ (?:[×xX] )?\p{Ll}[\p{Ll}-]+(?:$| \(?\p{Lu})')
        THEN regexp_extract(name, '^\S+ ((?:[×xX] )?\S+)', 1)
    ELSE name
END;

-- One taxon per page, chosen deterministically; accepted taxa come first.
CREATE OR REPLACE TEMP TABLE pages AS
SELECT page, min_by(taxon, (status <> 'accepted', taxon)) AS taxon
FROM (
    SELECT
        eol_id AS page,
        coalesce(accepted, id) AS taxon,
        coalesce(status, '') AS status
    FROM taxa
    WHERE eol_id IS NOT NULL
)
GROUP BY page;

-- Each page's taxon and its ancestors. UNION, not UNION ALL, so that a cycle in the hierarchy terminates.
CREATE OR REPLACE TEMP TABLE lineages AS
WITH RECURSIVE climbing AS (
    SELECT DISTINCT taxon AS leaf, taxon AS id
    FROM pages
    UNION
    SELECT climbing.leaf, taxa.parent AS id
    FROM climbing
    INNER JOIN taxa USING (id)
    WHERE taxa.parent IS NOT NULL
)

SELECT
    leaf,
    min(name) FILTER (rank = 'kingdom') AS kingdom,
    min(name) FILTER (rank = 'phylum') AS phylum,
    min(name) FILTER (rank = 'class') AS class,
    min(name) FILTER (rank = 'order') AS "order",
    min(name) FILTER (rank = 'family') AS family,
    min(name) FILTER (rank = 'genus') AS genus,
    epithet_of(min(name) FILTER (rank = 'species')) AS species,
    min(name) FILTER (id = leaf) AS scientific_name
FROM climbing
INNER JOIN (SELECT id, lower(rank) AS rank, name FROM taxa) AS named USING (id)
GROUP BY leaf;

CREATE OR REPLACE TEMP VIEW joined AS
SELECT
    manifest.*,
    lineages.* EXCLUDE (leaf),
    getvariable('taxon_keys') || ':' || lineages.leaf AS taxon_key,
    'eol' AS data_source,
    manifest."EOL content ID" AS source_id,
    'eol:' || manifest."EOL content ID" AS occurrence_id,
    -- EOL's own copy stays available when the original page disappears.
    coalesce(nullif(manifest."EOL Full-Size Copy URL", ''), manifest."Medium Source URL") AS url,
    manifest."License Name" AS license_name,
    manifest."Copyright Owner" AS copyright_owner,
    'Encyclopedia of Life' AS publisher
FROM manifest
LEFT JOIN pages ON manifest."EOL page ID" = pages.page
LEFT JOIN lineages ON pages.taxon = lineages.leaf;
