-- The tables that names are resolved against, and the counts for the summary.
-- In: `named`, `accepted_of`, `classified` and their intermediate tables. Out: `names`, `taxa`, `vernaculars`, `counts`,
-- `refused`, `unknown_words`, `vernaculars_refused`, `vernacular_languages`.

CREATE OR REPLACE TEMP MACRO backbone_id(id) AS getvariable('backbone') || ':' || id;

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

-- `tier` is the order of preference among names that fit equally well: accepted, synonym, doubtful, unknown status.
-- A pro parte synonym has a row for each of its accepted names.
CREATE TABLE names AS
SELECT
    name_key(named.name) AS key,
    named.rank,
    named.is_species_level,
    CASE
        WHEN named.has_unknown_status THEN 3
        WHEN named.standing = 'doubtful' OR named.rank = 'species aggregate' THEN 2
        WHEN named.standing = 'synonym' THEN 1
        ELSE 0
    END::TINYINT AS tier,
    backbone_id(named.id) AS taxon_id,
    -- A binomial's parts and its accepted taxon's family, for misspelt and incomplete names.
    CASE WHEN is_binomial THEN name_key(named.word) END AS genus,
    CASE WHEN is_binomial THEN name_key(named.epithet) END AS epithet,
    CASE WHEN is_binomial THEN name_key(classified.family) END AS family,
    -- As the checklist gives it, else the text after the name.
    named.authorship,
    -- More keys for a name with umlauts: as written, and in other spellings without them.
    CASE
        WHEN named.is_species_level AND has_umlaut(named.name)
            THEN list_append(umlaut_keys(named.name), lower(named.name))
    END AS spellings,
    accepted_of.is_one_of_several AS is_pro_parte,
    backbone_id(accepted_of.accepted_id) AS accepted_id
FROM (
    SELECT *, is_species_level AND epithet IS NOT NULL AND infra IS NULL AS is_binomial
    FROM named
) AS named
JOIN accepted_of USING (id)
JOIN classified ON classified.id = accepted_of.accepted_id
WHERE named.name IS NOT NULL
ORDER BY key, taxon_id, accepted_id;

-- The language as written, without a namespace ("ISO639-3:oje", a URI); "und" (ISO 639-2) if the row states none.
CREATE OR REPLACE TEMP MACRO language_of(written) AS CASE
    WHEN written IS NULL OR says_unknown(written) THEN 'und'
    WHEN contains(written, '://') THEN lower(regexp_extract(written, '([^/#]*)[/#]*$', 1))
    ELSE lower(trim(regexp_replace(written, '^(?i:iso ?639-?\d? *:)', '')))
END;

-- The names in a row, which may list several; those that only say that there is none are left out.
CREATE OR REPLACE TEMP MACRO listed_names(written) AS list_filter(
    list_transform(regexp_split_to_array(coalesce(plain_text(written), ''), '[|;]'), lambda name: trim(name)),
    lambda name: regexp_matches(name, '\p{L}') AND NOT regexp_full_match(
        name, '(?i)none|null|unknown|unnamed|n/?a|n\.a\.?|not available|no (?:common|vernacular|english) name(?: .*)?'
    )
);

-- The rows of common names, with the reason why a row is refused. A synonym's names belong to its accepted taxon.
CREATE TEMP TABLE vernacular_outcomes AS
SELECT
    accepted_of.accepted_id AS id,
    language_of(language) AS language,
    list_filter(listed_names("vernacularName"), lambda name: length(name) <= 100) AS names,
    coalesce(lower("isPreferredName") IN ('true', 't', 'yes', 'y', '1'), false) AS is_preferred,
    CASE
        WHEN vernacular_rows.is_comment THEN 'commented_rows'
        WHEN len(listed_names("vernacularName")) = 0 THEN 'rows_without_name'
        WHEN "taxonID" IN (SELECT id FROM accepted_of WHERE is_one_of_several) THEN 'of_several_taxa'
        WHEN accepted_of.id IS NULL THEN 'of_no_taxon'
        WHEN len(names) = 0 THEN 'too_long'
    END AS reason
FROM vernacular_rows
LEFT JOIN accepted_of ON accepted_of.id = vernacular_rows."taxonID" AND NOT is_one_of_several;

CREATE TABLE vernaculars AS
SELECT backbone_id(id) AS taxon_id, language, name, bool_or(is_preferred) AS is_preferred, count(*) AS times
FROM (SELECT * EXCLUDE (names), unnest(names) AS name FROM vernacular_outcomes WHERE reason IS NULL)
GROUP BY taxon_id, language, name
ORDER BY taxon_id, language, name;

CREATE TEMP TABLE vernaculars_refused AS
SELECT reason, count(*) AS "rows" FROM vernacular_outcomes WHERE reason IS NOT NULL GROUP BY reason;

CREATE TEMP TABLE vernacular_languages AS
SELECT language, count(*) AS "rows" FROM vernacular_outcomes WHERE reason IS NULL GROUP BY language;

-- The reason why a row is refused; NULL for a row that defines a name.
CREATE TEMP TABLE outcomes AS
SELECT
    id,
    rank,
    CASE
        WHEN standing = 'misapplied' THEN 'misapplied'
        WHEN standing = 'bare' THEN 'bare_names'
        WHEN written IS NULL THEN 'rows_without_name'
        WHEN name IS NULL THEN 'unreadable_names'
        WHEN id IN (SELECT id FROM accepted_of) THEN NULL
        WHEN accepted_id IS NULL THEN 'synonyms_without_accepted'
        WHEN id IN (SELECT id FROM synonym_steps WHERE target_standing IS NULL) THEN 'dangling_synonyms'
        WHEN id IN (SELECT id FROM synonym_steps WHERE target_standing != 'synonym') THEN 'synonyms_of_no_taxon'
        ELSE 'in_synonym_cycles'
    END AS reason
FROM named
WHERE NOT is_implied;

CREATE TEMP TABLE refused AS
SELECT reason, count(*) AS "rows" FROM outcomes WHERE reason IS NOT NULL GROUP BY reason
UNION ALL
SELECT 'commented_rows', count(*) FROM taxon_rows WHERE is_comment HAVING count(*) > 0
UNION ALL
SELECT 'rows_without_id', count(*) FROM taxon_rows WHERE "taxonID" IS NULL AND NOT is_comment HAVING count(*) > 0
UNION ALL
SELECT 'repeated_ids', count("taxonID") - count(DISTINCT "taxonID")
FROM taxon_rows
WHERE NOT is_comment
HAVING count("taxonID") > count(DISTINCT "taxonID");

-- Ranks that were inferred, and words for ranks and statuses that are not in the vocabularies.
CREATE TEMP TABLE unknown_words AS
SELECT 'ranks_inferred' AS what, coalesce(rank_word, '(empty)') AS word, count(*) AS names
FROM named
WHERE has_no_rank AND rank != 'unranked'
GROUP BY ALL
UNION ALL
SELECT 'ranks_unknown', coalesce(rank_word, '(empty)'), count(*)
FROM named
WHERE rank = 'unranked' AND given_rank IS NULL
GROUP BY ALL
UNION ALL
SELECT 'statuses_unknown', status, count(*)
FROM named
WHERE has_unknown_status
GROUP BY ALL;

CREATE TEMP TABLE counts AS
SELECT
    (SELECT count(*) FROM taxon_rows) AS "rows",
    (SELECT count(*) FROM outcomes WHERE reason IS NULL) AS rows_named,
    (SELECT count(*) FROM outcomes WHERE reason IS NULL AND rank = 'unranked') AS rows_unranked,
    (SELECT count(*) FROM taxa) AS taxa,
    (SELECT count(*) FROM named WHERE is_implied) AS taxa_without_row,
    (SELECT count(*) FROM names) AS names,
    (SELECT count(*) FROM names WHERE tier = 1) AS synonyms,
    (SELECT count(*) FROM names WHERE tier = 2) AS doubtful,
    (SELECT count(*) FROM names WHERE is_pro_parte) AS pro_parte,
    (
        SELECT count(*) FROM named
        WHERE parent_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM usages WHERE usages.id = named.parent_id)
    ) AS dangling_parents,
    (SELECT count(*) FROM circular) AS in_parent_cycles,
    (SELECT count(*) FROM vernacular_rows) AS vernacular_rows,
    (SELECT count(*) FROM vernaculars) AS vernaculars;
