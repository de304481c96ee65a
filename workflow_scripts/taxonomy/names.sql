-- How scientific names are read: the same for a backbone's names and for labels.

-- Text as a person sees it: composed letters, no mark-up, no control or direction characters, one space between words.
CREATE OR REPLACE TEMP MACRO plain_text(written) AS CASE
    -- Most texts are so already.
    WHEN regexp_full_match(written, '[A-Za-z]{1,80}(?: [A-Za-z]{1,80}){0,3}') THEN written
    ELSE nullif(trim(regexp_replace(
        regexp_replace(
            replace(replace(nfc_normalize(left(written, 2000)), '&times;', '×'), '&#215;', '×'),
            '<[^<>]*>|&[a-zA-Z]+;|&#[0-9]+;|[\p{C}\p{Z}_"“”„«»†]', ' ', 'g'
        ),
        ' +', ' ', 'g'
    )), '')
END;

-- Words that stand where a name should.
CREATE OR REPLACE TEMP MACRO says_unknown(text) AS regexp_matches(
    text,
    '^[^\p{L}\p{N}]*(?i:unknown|unidentified|unidentifiable|undetermined|indeterminate|indet|unassigned|unclassified|'
    || 'unplaced|unspecified|unranked|unnamed|uncertain|environmental|not[ -](?:identified|assigned|applicable|available)|'
    || 'no[ -](?:name|data|value)|incertae|incerta|other|various|mixed|none|null|nan|n/?a|n\.a\.?)(?:[^\p{L}\p{N}]|$)'
) OR regexp_matches(text, '(?i)\bincertae sedis\b') OR NOT regexp_matches(text, '\p{L}');

-- How two spellings of one name are compared: without case and accents.
CREATE OR REPLACE TEMP MACRO name_key(name) AS lower(strip_accents(name));

-- Kingdoms by other names, as one key. Protista holds what later became two kingdoms; see `kingdoms_meant`.
CREATE OR REPLACE TEMP MACRO kingdom_key(name) AS CASE
    WHEN name_key(name) IN ('metazoa', 'animals', 'animal') THEN 'animalia'
    WHEN name_key(name) IN ('viridiplantae', 'archaeplastida', 'chloroplastida', 'plants', 'plant', 'metaphyta')
        THEN 'plantae'
    WHEN name_key(name) IN ('eumycota', 'mycota', 'mycetae', 'fungus') THEN 'fungi'
    WHEN name_key(name) IN ('monera', 'eubacteria') THEN 'bacteria'
    WHEN name_key(name) IN ('archaebacteria') THEN 'archaea'
    WHEN name_key(name) IN ('virus', 'vira') THEN 'viruses'
    ELSE name_key(name)
END;

-- The kingdoms that a written kingdom may mean; NULL when it establishes none (a word that is no kingdom's name).
CREATE OR REPLACE TEMP MACRO kingdoms_meant(name) AS CASE
    WHEN name_key(name) IN ('protista', 'protoctista') THEN ['chromista', 'protozoa']
    WHEN kingdom_key(name) IN (
        'animalia', 'plantae', 'fungi', 'chromista', 'protozoa', 'bacteria', 'archaea', 'viruses'
    ) THEN [kingdom_key(name)]
END;

-- Lower-case words that stand behind a genus or an epithet and are none: of authors, of doubt, of rank.
CREATE OR REPLACE TEMP MACRO is_no_epithet(word) AS name_key(word) IN (
    'sp', 'spp', 'species', 'cf', 'cfr', 'aff', 'nr', 'near', 'prox', 'indet', 'gen', 'nov', 'ined', 'auct', 'auctt',
    'unknown', 'unidentified', 'undetermined', 'indeterminate', 'unspecified', 'incertae', 'sedis',
    'sensu', 'non', 'nec', 'nom', 'nomen', 'emend', 'et', 'ex', 'in', 'and', 'or', 'al', 'fil',
    'de', 'da', 'do', 'dos', 'du', 'del', 'della', 'der', 'den', 'des', 'di', 'la', 'le', 'van', 'von', 'vom', 'zu', 'ter',
    'subsp', 'ssp', 'var', 'subvar', 'forma', 'form', 'fo', 'subf', 'morph', 'race', 'ab', 'cv', 'subgen', 'subg', 'sect',
    'nothosubsp', 'nothovar', 'hybrid', 'x'
);

-- Whether a text is a name and nothing else that the rules below would have to find out: "Aus", "Aus bus", and
-- "Aus bus (Author, 1900)" without a word in lower case behind the epithet.
CREATE OR REPLACE TEMP MACRO is_clean_name(written) AS
    regexp_full_match(
        written,
        '[A-Z][a-z]{2,60}(?: [a-z]{2,60}(?: \(?[A-Z][A-Za-z.,)&-]{0,60}(?: [A-Z0-9&(][A-Za-z0-9.,)&-]{0,60}){0,9})?)?'
    )
    AND NOT contains(written, ' X ')
    AND NOT is_no_epithet(split_part(written, ' ', 2))
    AND NOT is_no_epithet(split_part(written, ' ', 1))
    AND NOT says_unknown(written);

-- Names read into genus (or the one word of a higher name), epithet and infraspecific epithet.
-- `texts` names a table with a column `written`; each distinct one comes back with
--   word      the first word, capitalised: a genus or a higher name; NULL when there is none
--   epithet   NULL when the name is no species', or when the writer is not certain of the species
--   infra     epithet of a subspecies, variety or form
CREATE OR REPLACE TEMP MACRO parsed_names(texts) AS TABLE
WITH sorted_out AS MATERIALIZED (
    SELECT written, is_clean_name(written) AS is_clean
    FROM (SELECT DISTINCT written FROM query_table(texts) WHERE written IS NOT NULL)
),
plain AS (
    SELECT written, plain_text(written) AS text
    FROM sorted_out
    WHERE NOT is_clean
),
-- A name in capitals only is written as names are; a lower-case beginning is a capital left out.
cased AS (
    SELECT
        written,
        CASE
            WHEN text = upper(text) AND length(text) > 3 THEN upper(left(text, 1)) || lower(substr(text, 2))
            ELSE upper(left(text, 1)) || substr(text, 2)
        END AS text
    FROM (
        -- A hybrid mark, brackets or other signs in front of the name; "Genus?" keeps its mark behind.
        SELECT
            written,
            regexp_replace(regexp_replace(text, '^[^\p{L}]+', ''), '^[xX] +(\p{Lu})', '\1') AS text
        FROM plain
        WHERE NOT says_unknown(text)
    )
),
marked AS (
    SELECT
        written,
        -- Two parents are no species: "Quercus alba × robur", "Quercus alba x Quercus robur".
        regexp_matches(text, '^\p{Lu}[\p{L}-]+ [\p{Ll}-]+.* (?:×|[xX] ) *\p{L}') AS is_formula,
        -- "cf.", "aff." and their like put in doubt what stands behind them.
        regexp_matches(
            text,
            '^(?:\p{Lu}[\p{L}-]+ (?:\(\p{Lu}[\p{L}-]+\) )?)?'
            || '(?i:cf|cfr|aff|nr|near|prox|sp|spp|species|gen|indet|n\. ?sp|sp\. ?n)(?:[^\p{L}-]|$)'
        ) OR regexp_matches(text, '\?') AS is_uncertain,
        -- The mark of a hybrid that has a name of its own is no part of that name.
        regexp_replace(
            regexp_replace(
                regexp_replace(text, '^(?i:cf|cfr|aff)\.? +', ''),
                '^(\p{Lu}[\p{L}-]+)(?: ×| [xX] ) *(\p{Ll})', '\1 \2'
            ),
            '^(\p{Lu}[\p{L}-]+) \(\p{Lu}[\p{L}-]+\) ', '\1 '
        ) AS text
    FROM cased
),
-- "Quercus Quercus alba": the genus column was put in front of a species that had it already.
once AS (
    SELECT
        * EXCLUDE (text),
        CASE
            WHEN split_part(text, ' ', 1) = split_part(text, ' ', 2) THEN substr(text, instr(text, ' ') + 1)
            ELSE text
        END AS text
    FROM marked
),
words AS (
    SELECT
        written,
        is_formula,
        is_uncertain,
        regexp_extract(text, '^(\p{Lu}\p{Ll}+(?:-\p{L}\p{Ll}+)?)(?:[^\p{L}]|$)', 1) AS word,
        regexp_extract(
            text,
            '^\p{Lu}\p{Ll}+(?:-\p{L}\p{Ll}+)? ((?:[0-9]+-)?\p{Ll}[\p{Ll}''’-]*\p{Ll})(?:[ ,;:.)]|$)', 1
        ) AS epithet,
        regexp_extract(
            text,
            '^\p{Lu}\p{Ll}+(?:-\p{L}\p{Ll}+)? (?:[0-9]+-)?\p{Ll}[\p{Ll}''’-]*\p{Ll} '
            || '(?:(?:.* )?(?:subsp|ssp|nothosubsp|var|nothovar|subvar|f|fo|forma|form|subf|morph|race|ab)\.? )?'
            || '(\p{Ll}[\p{Ll}-]*\p{Ll})(?:[ ,;:.)]|$)', 1
        ) AS infra
    FROM once
)
SELECT
    written,
    nullif(word, '') AS word,
    CASE
        WHEN is_formula OR is_uncertain OR epithet = '' OR is_no_epithet(epithet) THEN NULL
        ELSE epithet
    END AS epithet,
    CASE
        WHEN is_formula OR is_uncertain OR epithet = '' OR is_no_epithet(epithet) OR infra = '' OR is_no_epithet(infra)
            THEN NULL
        ELSE infra
    END AS infra
FROM words
UNION ALL
SELECT written, split_part(written, ' ', 1), nullif(split_part(written, ' ', 2), ''), NULL
FROM sorted_out
WHERE is_clean;
