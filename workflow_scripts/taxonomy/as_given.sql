-- Answers from the labels as written, if no backbone is configured: their ranks, and the species from a binomial or an
-- epithet. A name that is not scientific becomes the species as it is, without a genus.
-- In: `labels`, `read_ranks`, `read_names`, `hidden_names`, `overridden`. Out: `answers`.

-- The species: a binomial before a genus alone, then the columns meant for species before the others.
CREATE OR REPLACE TEMP TABLE given_names AS
SELECT label, arg_min({word: word, epithet: epithet}, (epithet IS NULL, place)) AS name
FROM (
    SELECT label, place, word, epithet FROM read_names
    UNION ALL
    SELECT label, place, word, epithet FROM hidden_names
)
GROUP BY label;

-- Names that are not scientific.
CREATE OR REPLACE TEMP TABLE whole_names AS
SELECT label, arg_min(plain_text(written), place) FILTER (kind = 'whole') AS name
FROM (SELECT *, kind_of_name(written) AS kind FROM written_names)
ANTI JOIN hidden_names USING (label)
GROUP BY label
HAVING bool_or(kind = 'whole') AND NOT bool_or(kind IN ('species', 'recased'));

-- A name that begins with the label's own genus is scientific.
DELETE FROM whole_names
WHERE label IN (
    SELECT label
    FROM labels
    JOIN read_ranks ON read_ranks.written = labels.genus
    JOIN given_names USING (label)
    WHERE given_names.name.word = read_ranks.word
);

INSERT INTO answers BY NAME
WITH read AS (
    SELECT
        labels.label,
        of_kingdom.word AS kingdom,
        of_phylum.word AS phylum,
        of_class.word AS class,
        of_order.word AS "order",
        of_family.word AS family,
        CASE WHEN whole_names.label IS NULL THEN coalesce(
            CASE WHEN given_names.name.epithet IS NOT NULL THEN given_names.name.word END,
            of_genus.word,
            -- "Quercus sp." is a genus; a single word may be of any rank.
            CASE
                WHEN contains(plain_text(coalesce(labels.species, labels.scientific_name)), ' ')
                    THEN given_names.name.word
            END
        ) END AS genus,
        coalesce(whole_names.name, given_names.name.epithet) AS species,
        given_names.name IS NOT NULL AS has_name,
        overridden.label IS NOT NULL AS is_overridden,
        overridden.why
    FROM labels
    LEFT JOIN given_names USING (label)
    LEFT JOIN whole_names USING (label)
    LEFT JOIN overridden ON overridden.label = labels.label AND overridden.taxon_id IS NULL
    LEFT JOIN read_ranks AS of_kingdom ON of_kingdom.written = labels.kingdom
    LEFT JOIN read_ranks AS of_phylum ON of_phylum.written = labels.phylum
    LEFT JOIN read_ranks AS of_class ON of_class.written = labels.class
    LEFT JOIN read_ranks AS of_order ON of_order.written = labels."order"
    LEFT JOIN read_ranks AS of_family ON of_family.written = labels.family
    LEFT JOIN read_ranks AS of_genus ON of_genus.written = labels.genus
),
ranked AS (
    SELECT
        *,
        CASE
            WHEN species IS NOT NULL THEN 'species'
            WHEN genus IS NOT NULL THEN 'genus'
            WHEN family IS NOT NULL THEN 'family'
            WHEN "order" IS NOT NULL THEN 'order'
            WHEN class IS NOT NULL THEN 'class'
            WHEN phylum IS NOT NULL THEN 'phylum'
            WHEN kingdom IS NOT NULL THEN 'kingdom'
        END AS lowest,
        CASE
            WHEN is_overridden THEN 'overridden'
            WHEN lowest IS NULL AND has_name THEN 'not_found'
            WHEN lowest IS NULL THEN 'no_name'
        END AS reason
    FROM read
)
SELECT
    label,
    0 AS backbone_place,
    0 AS grade,
    reason,
    CASE WHEN reason IS NULL THEN 'as_given' ELSE 'unresolved' END AS strategy,
    CASE WHEN reason IS NULL THEN 'as_given' ELSE 'none' END AS match_type,
    CASE WHEN reason IS NULL THEN 1.0 ELSE 0.0 END AS confidence,
    CASE WHEN reason IS NULL THEN kingdom END AS kingdom,
    CASE WHEN reason IS NULL THEN phylum END AS phylum,
    CASE WHEN reason IS NULL THEN class END AS class,
    CASE WHEN reason IS NULL THEN "order" END AS "order",
    CASE WHEN reason IS NULL THEN family END AS family,
    CASE WHEN reason IS NULL THEN genus END AS genus,
    CASE WHEN reason IS NULL THEN species END AS species,
    CASE
        WHEN reason IS NOT NULL THEN NULL
        WHEN species IS NOT NULL THEN concat_ws(' ', genus, species)
        ELSE coalesce(genus, family, "order", class, phylum, kingdom)
    END AS scientific_name,
    CASE WHEN reason IS NULL THEN lowest END AS resolved_rank,
    CASE
        WHEN is_overridden THEN concat_ws(': ', 'curator''s override', why)
        WHEN reason = 'not_found' THEN 'a name without a rank; fill in the column of its rank'
        WHEN reason IS NULL THEN 'as the label says; no backbone is configured'
    END AS detail
FROM ranked;
