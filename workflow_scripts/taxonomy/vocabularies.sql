-- The words for ranks and statuses. In: `rank_table` and `status_table` (`ranks.csv`, `statuses.csv`), `taxon_rows`.
-- Out: `read_ranks` and `read_statuses`: the meaning of each word in the rows; NULL if it is unknown.

CREATE OR REPLACE TEMP TABLE read_ranks AS
WITH rank_words AS (
    SELECT DISTINCT unnest(string_split(words, '|')) AS word, rank, place::INTEGER AS place
    FROM rank_table
)
SELECT given.written, given.word, rank_words.rank, rank_words.place
FROM (
    SELECT written, nullif(word_key(written), '') AS word
    FROM (SELECT DISTINCT "taxonRank" AS written FROM taxon_rows WHERE "taxonRank" IS NOT NULL)
) AS given
LEFT JOIN rank_words USING (word);

-- Words without a wildcard come before those with one; then misapplied and bare names before synonyms, doubtful and
-- accepted names.
CREATE OR REPLACE TEMP TABLE read_statuses AS
WITH status_words AS (
    SELECT
        kind,
        standing,
        replace(word, '*', '%') AS pattern,
        2 * list_position(['misapplied', 'bare', 'synonym', 'doubtful', 'accepted'], standing)
        + CASE WHEN contains(word, '*') THEN 100 ELSE 0 END
        -- "conserved, though illegitimate" is accepted.
        - CASE WHEN kind = 'nomenclatural' AND standing = 'accepted' THEN 50 ELSE 0 END AS place
    FROM (SELECT kind, standing, unnest(string_split(words, '|')) AS word FROM status_table)
),
given AS (
    SELECT DISTINCT 'taxonomic' AS kind, "taxonomicStatus" AS written FROM taxon_rows
    UNION ALL
    SELECT DISTINCT 'nomenclatural', "nomenclaturalStatus" FROM taxon_rows
)
SELECT given.kind, given.written, arg_min(status_words.standing, status_words.place) AS standing
FROM given
LEFT JOIN status_words ON status_words.kind = given.kind AND word_key(given.written) LIKE status_words.pattern
WHERE given.written IS NOT NULL
GROUP BY given.kind, given.written;
