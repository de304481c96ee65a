-- Replace parents and accepted names that are given by name with their ids. In and out: `taxon_rows`.
CREATE OR REPLACE TEMP TABLE link_texts AS
SELECT row_name(given) AS written FROM taxon_rows AS given
UNION SELECT "parentNameUsage" FROM taxon_rows
UNION SELECT "acceptedNameUsage" FROM taxon_rows;

CREATE OR REPLACE TEMP TABLE link_names AS
SELECT written, name_key(concat_ws(' ', word, epithet, infra)) AS key
FROM parsed_names('link_texts')
WHERE word IS NOT NULL;

-- The texts that identify one row: its name as written or with its author, its id, or its name's key.
CREATE OR REPLACE TEMP TABLE link_targets AS
WITH named AS (
    SELECT
        "taxonID" AS id,
        row_name(given) AS written,
        concat_ws(' ', written, given."scientificNameAuthorship") AS with_author
    FROM taxon_rows AS given
    WHERE "taxonID" IS NOT NULL
),
spelt AS (
    SELECT DISTINCT id, unnest([written, with_author, id]) AS text FROM named
),
keyed AS (
    SELECT DISTINCT id, key FROM named JOIN link_names USING (written)
)
SELECT text AS name, true AS is_whole, min(id) AS id FROM spelt GROUP BY text HAVING count(*) = 1
UNION ALL
SELECT key, false, min(id) FROM keyed GROUP BY key HAVING count(*) = 1;

-- A name that identifies no row stays as written, and is counted as a dangling link.
CREATE OR REPLACE TEMP TABLE taxon_rows AS
SELECT given.* REPLACE (
    coalesce("parentNameUsageID", whole_parent.id, plain_parent.id) AS "parentNameUsageID",
    CASE
        WHEN "acceptedNameUsageID" IS NOT NULL THEN "acceptedNameUsageID"
        -- An accepted name's row repeats its own name, often without the author.
        WHEN own.key = accepted.key AND whole_accepted.id IS NULL THEN NULL
        ELSE coalesce(whole_accepted.id, plain_accepted.id, "acceptedNameUsage")
    END AS "acceptedNameUsageID"
)
FROM taxon_rows AS given
LEFT JOIN link_names AS own ON own.written = row_name(given)
LEFT JOIN link_names AS parent ON parent.written = given."parentNameUsage"
LEFT JOIN link_names AS accepted ON accepted.written = given."acceptedNameUsage"
LEFT JOIN link_targets AS whole_parent ON whole_parent.is_whole AND whole_parent.name = given."parentNameUsage"
LEFT JOIN link_targets AS plain_parent ON NOT plain_parent.is_whole AND plain_parent.name = parent.key
LEFT JOIN link_targets AS whole_accepted ON whole_accepted.is_whole AND whole_accepted.name = given."acceptedNameUsage"
LEFT JOIN link_targets AS plain_accepted ON NOT plain_accepted.is_whole AND plain_accepted.name = accepted.key;
