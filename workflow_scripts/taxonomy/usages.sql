-- Read the rows of a checklist as usages of names: the name, its rank and its standing.
-- In: `taxon_rows`, `named_elsewhere`, `read_ranks`, `read_statuses`. Out: `named`, `several`, `parsed`, `usages`.

-- One row per id. Of a repeated id, the first row in the order of all its values is kept.
CREATE TEMP TABLE repeated AS
SELECT "taxonID" AS id
FROM taxon_rows
WHERE "taxonID" IS NOT NULL AND NOT is_comment
GROUP BY "taxonID"
HAVING count(*) > 1;

CREATE TEMP TABLE usages AS
SELECT
    "taxonID" AS id,
    CASE
        WHEN taxonomic.standing = 'synonym' AND getvariable('synonyms_have_parents') THEN NULL
        ELSE nullif("parentNameUsageID", "taxonID")
    END AS parent_id,
    nullif(
        CASE
            WHEN taxonomic.standing = 'synonym' AND getvariable('synonyms_have_parents') THEN "parentNameUsageID"
            ELSE "acceptedNameUsageID"
        END,
        "taxonID"
    ) AS accepted_id,
    row_name(given) AS written,
    "scientificNameAuthorship" AS written_author,
    "scientificName" AS full_name,
    -- The row's own epithets, for what the name alone does not tell.
    "specificEpithet" AS given_epithet,
    lower("infraspecificEpithet") AS given_infra,
    read_ranks.word AS rank_word,
    nullif(read_ranks.rank, 'unranked') AS rank,
    read_ranks.rank AS given_rank,
    read_ranks.place AS rank_place,
    taxonomic.standing AS taxonomic,
    "taxonomicStatus" AS status,
    nomenclatural.standing AS nomenclatural,
    kingdom,
    phylum,
    class,
    "order",
    family,
    genus,
    coalesce(is_implied, false) AS is_implied
FROM (
    SELECT * FROM taxon_rows
    WHERE "taxonID" IS NOT NULL AND NOT is_comment AND "taxonID" NOT IN (SELECT id FROM repeated)
    UNION ALL BY NAME
    SELECT *
    FROM taxon_rows AS given
    WHERE "taxonID" IN (SELECT id FROM repeated) AND NOT is_comment
    QUALIFY row_number() OVER (PARTITION BY "taxonID" ORDER BY given) = 1
    UNION ALL BY NAME
    SELECT *, true AS is_implied FROM named_elsewhere
) AS given
LEFT JOIN read_ranks ON read_ranks.written = given."taxonRank"
LEFT JOIN read_statuses AS taxonomic
    ON taxonomic.kind = 'taxonomic' AND taxonomic.written = given."taxonomicStatus"
LEFT JOIN read_statuses AS nomenclatural
    ON nomenclatural.kind = 'nomenclatural' AND nomenclatural.written = given."nomenclaturalStatus";

-- Pro parte synonyms: several accepted ids in one column. An id may itself contain a separator.
CREATE TEMP TABLE several AS
SELECT id, trim(unnest(list_distinct(regexp_split_to_array(accepted_id, '[|;,]')))) AS accepted_id
FROM usages
WHERE regexp_matches(accepted_id, '[|;,]') AND accepted_id NOT IN (SELECT id FROM usages);

DELETE FROM several WHERE accepted_id IN ('', id);

CREATE TEMP TABLE flat_texts AS
SELECT 'kingdom' AS rank, kingdom AS written FROM usages
UNION SELECT 'phylum', phylum FROM usages
UNION SELECT 'class', class FROM usages
UNION SELECT 'order', "order" FROM usages
UNION SELECT 'family', family FROM usages
UNION SELECT 'genus', genus FROM usages;

CREATE TEMP TABLE texts AS
SELECT written FROM usages
UNION SELECT written FROM flat_texts;

CREATE TEMP TABLE parsed AS
SELECT written, word, epithet, infra, joining FROM name_parts('texts');

-- The texts of the rank columns, few compared with all names.
CREATE TEMP TABLE flat_words AS
SELECT DISTINCT parsed.written, parsed.word
FROM flat_texts
JOIN parsed USING (written);

-- Nothing above a species has an epithet: a rank that says so is misread (the "c" of a variety is no class).
UPDATE usages SET rank = NULL, given_rank = NULL, rank_place = NULL
WHERE
    rank_place < 69
    AND given_epithet IS NOT NULL
    AND written IN (SELECT written FROM parsed WHERE epithet IS NOT NULL);

-- Ranks of single words that the checklist gives elsewhere: in a rank's column, or as the genus of a binomial.
-- Words that occur at several ranks are left out.
CREATE TEMP TABLE ranks_of_words AS
SELECT word, min(rank) AS rank
FROM (
    SELECT parsed.word, flat_texts.rank FROM flat_texts JOIN parsed USING (written) WHERE parsed.epithet IS NULL
    UNION ALL
    SELECT word, 'genus' FROM parsed WHERE epithet IS NOT NULL
)
WHERE word IN (
    SELECT parsed.word FROM usages JOIN parsed USING (written) WHERE usages.rank IS NULL AND parsed.epithet IS NULL
)
GROUP BY word
HAVING count(DISTINCT rank) = 1;

-- The rank of a name whose rank is missing or unknown, if the name or the rest of the checklist determines it.
CREATE OR REPLACE TEMP MACRO inferred_rank(written, word, epithet, infra, elsewhere, kingdom) AS CASE
    WHEN infra IS NOT NULL THEN CASE
        WHEN regexp_matches(written, ' (?i:subsp|ssp|nothosubsp)\.? ') THEN 'subspecies'
        WHEN regexp_matches(written, ' (?i:var|nothovar)\.? ') THEN 'variety'
        WHEN regexp_matches(written, ' (?i:f|fo|forma|form)\.? ') THEN 'form'
        ELSE 'infraspecific name'
    END
    WHEN epithet IS NOT NULL THEN 'species'
    WHEN elsewhere IS NOT NULL THEN elsewhere
    -- Endings that the nomenclatural codes reserve for families; "idae" in plants is a subclass.
    WHEN regexp_matches(word, 'aceae$|viridae$') OR (kingdom = 'Animalia' AND ends_with(word, 'idae')) THEN 'family'
END;

-- The author: the text after a name's last word. An autonym's author comes before it ("Aus bus Smith var. bus").
CREATE OR REPLACE TEMP MACRO author_behind(full_name, last_word) AS CASE
    WHEN contains(full_name || ' ', ' ' || last_word || ' ')
        -- With two blanks between words, the same word may follow itself ("Pica pica pica (L.)").
        THEN nullif(trim(replace(
            string_split(replace(full_name || ' ', ' ', '  '), ' ' || last_word || ' ')[-1], '  ', ' '
        )), '')
    WHEN starts_with(full_name, last_word || ' ') THEN nullif(trim(substr(full_name, length(last_word) + 1)), '')
END;

-- "Aus bus Smith, 1900 cus": an infraspecific epithet that only its own column tells from the author.
CREATE OR REPLACE TEMP MACRO epithet_behind(written, epithet, given_infra) AS CASE
    WHEN epithet IS NOT NULL AND contains(split_part(written, epithet, 2) || ' ', ' ' || given_infra || ' ') THEN given_infra
END;

-- "Abies (Ferox)", "Abies subgen. Ferox": a part of a genus is named by its own word, not by the genus.
CREATE OR REPLACE TEMP MACRO infrageneric_word(written) AS nullif(coalesce(
    nullif(regexp_extract(written, '^\p{L}+ \((\p{Lu}\p{Ll}+)\)', 1), ''),
    regexp_extract(written, '^\p{L}+ (?:\p{Ll}+\.? )+(\p{Lu}\p{Ll}+)', 1)
), '');

-- Costly tests that few rows need are in a CASE of their own: DuckDB may evaluate the operands of AND in any order.
CREATE TEMP TABLE named AS
SELECT
    read.* EXCLUDE (written_author, full_name),
    CASE
        WHEN taxonomic = 'misapplied' OR nomenclatural = 'misapplied' THEN 'misapplied'
        WHEN taxonomic = 'bare' THEN 'bare'
        -- An author that marks the name as wrongly used: "auct. non L.".
        WHEN
            (taxonomic = 'synonym' OR accepted_id IS NOT NULL)
            AND (contains(written_author, 'auct') OR contains(full_name, 'auct'))
            AND regexp_matches(concat_ws(' ', written_author, full_name), '\bauct[a-z]*\.? *,? *(?:non|nec)\b')
            THEN 'misapplied'
        WHEN taxonomic = 'synonym' OR accepted_id IS NOT NULL THEN 'synonym'
        WHEN taxonomic = 'doubtful' THEN 'doubtful'
        WHEN status IS NOT NULL AND taxonomic IS NULL THEN 'unknown'
        WHEN status IS NULL AND nomenclatural = 'doubtful' THEN 'doubtful'
        ELSE 'accepted'
    END AS standing,
    status IS NOT NULL AND taxonomic IS NULL AS has_unknown_status,
    CASE
        -- "incertae sedis", "Not assigned": a placeholder, whatever its rank.
        WHEN CASE WHEN word IS NULL THEN says_unknown(plain_text(written)) ELSE false END THEN NULL
        ELSE coalesce(
            CASE WHEN rank_place BETWEEN 61 AND 68 THEN infrageneric_word(written) END,
            CASE
                WHEN
                    word IS NULL
                    -- A species without a readable epithet (a virus, a hybrid formula, "sp. 1") keeps its full text as
                    -- its name; otherwise it would be taken for its genus.
                    OR (is_species_level AND epithet IS NULL)
                    -- Likewise, a cultivar or strain must not be taken for its species.
                    OR (rank_place >= 88 AND infra IS NULL)
                    THEN plain_text(written)
                ELSE concat_ws(' ', word, epithet, infra)
            END
        )
    END AS name,
    CASE
        WHEN written_author IS NOT NULL THEN written_author
        WHEN is_species_level AND epithet IS NULL THEN NULL
        ELSE author_behind(full_name, coalesce(infra, epithet, word))
    END AS authorship
FROM (
    SELECT
        usages.id,
        usages.parent_id,
        usages.accepted_id,
        usages.written,
        usages.written_author,
        usages.full_name,
        usages.rank_word,
        usages.given_rank,
        coalesce(
            usages.rank,
            inferred_rank(usages.written, parsed.word, parsed.epithet, parsed.infra, ranks_of_words.rank, usages.kingdom),
            'unranked'
        ) AS rank,
        usages.rank IS NULL AS has_no_rank,
        coalesce(usages.rank_place, 0) AS rank_place,
        coalesce(usages.rank_place >= 69, false) OR (usages.rank IS NULL AND parsed.epithet IS NOT NULL)
            AS is_species_level,
        usages.taxonomic,
        usages.status,
        usages.nomenclatural,
        -- The ranks in the row's own columns.
        {
            kingdom: kingdom_word.word, phylum: phylum_word.word, class: class_word.word, "order": order_word.word,
            family: family_word.word, genus: genus_word.word
        } AS flat,
        usages.is_implied,
        parsed.word,
        -- A word that may belong to the author ("Zodarion van Bosmans") is an epithet if the rank is species or below.
        coalesce(parsed.epithet, CASE WHEN usages.rank_place >= 69 THEN parsed.joining END) AS epithet,
        coalesce(parsed.infra, epithet_behind(usages.written, parsed.epithet, usages.given_infra)) AS infra
    FROM usages
    LEFT JOIN parsed ON parsed.written = usages.written
    LEFT JOIN ranks_of_words ON usages.rank IS NULL AND parsed.epithet IS NULL AND ranks_of_words.word = parsed.word
    LEFT JOIN flat_words AS kingdom_word ON kingdom_word.written = usages.kingdom
    LEFT JOIN flat_words AS phylum_word ON phylum_word.written = usages.phylum
    LEFT JOIN flat_words AS class_word ON class_word.written = usages.class
    LEFT JOIN flat_words AS order_word ON order_word.written = usages."order"
    LEFT JOIN flat_words AS family_word ON family_word.written = usages.family
    LEFT JOIN flat_words AS genus_word ON genus_word.written = usages.genus
) AS read;
