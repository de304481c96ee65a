-- Macros that parse scientific names, used for the names of a backbone and for labels.

-- Plain text: composed letters, no mark-up, no control or direction characters, single spaces.
CREATE OR REPLACE TEMP MACRO plain_text(written) AS CASE
    -- Fast path: most texts are plain already.
    WHEN regexp_full_match(written, '[A-Za-z]{1,80}(?: [A-Za-z]{1,80}){0,3}') THEN written
    ELSE nullif(trim(regexp_replace(
        regexp_replace(
            replace(replace(nfc_normalize(left(written, 2000)), '&times;', '×'), '&#215;', '×'),
            '<[^<>]*>|&[a-zA-Z]+;|&#[0-9]+;|[\p{C}\p{Z}_"“”„«»†]', ' ', 'g'
        ),
        ' +', ' ', 'g'
    )), '')
END;

-- Words used instead of a name.
CREATE OR REPLACE TEMP MACRO begins_unknown(text) AS regexp_matches(
    text,
    '^[^\p{L}\p{N}]*(?i:unknown|unidentified|unidentifiable|undetermined|indeterminate|indet|unassigned|unclassified|'
    || 'unplaced|unspecified|unranked|unnamed|uncertain|environmental|'
    || 'not[ -](?:identified|assigned|applicable|available|recorded)|'
    || 'no[ -](?:name|data|value)|incertae|incerta|inc\. ?sed|other|various|mixed|none|null|nan|n/?a|n\.a\.?)'
    || '(?:[^\p{L}\p{N}]|$)'
);

CREATE OR REPLACE TEMP MACRO says_unknown(text) AS
    begins_unknown(text) OR regexp_matches(text, '(?i)incertae ?sedis\b') OR NOT regexp_matches(text, '\p{L}');

-- Things named after the organism that they live in or are made from: viruses, plasmids, symbionts.
-- "Turkozelotes attavirus Chatzaki, 2019" is a spider: the author after the second word shows that it is an epithet.
CREATE OR REPLACE TEMP MACRO is_named_after_host(text) AS
    regexp_matches(
        text,
        '(?i)[^ ] (?:.* )?[^ ]*(?:virus(?:es)?|phages?|viroids?|symbionts?)(?:[^\p{L}]|$)|\b(?:[a-z]{0,4}npv|ictv)\b'
        || '|[^ ] [^ ]+ .*\b(?:(?:alpha|beta|delta)?satellites?|plasmids?|prions?|vectors?|particles?)\b'
    )
    AND NOT regexp_matches(
        text,
        '^\p{Lu}\p{Ll}+ \p{Ll}+(?:virus|phage) \(?\p{Lu}[\p{L}.-]+[^0-9]*, ?[0-9]{4}'
        || '|^\p{Lu}\p{Ll}+virus (?:\p{Ll}+[0-9]*|[A-Za-z]*[0-9][A-Za-z0-9]*)$'
    );

-- Numerals as spelt in epithets.
CREATE OR REPLACE TEMP MACRO latin_numeral(number) AS [
    'uni', 'bi', 'tri', 'quadri', 'quinque', 'sex', 'septem', 'octo', 'novem', 'decem', 'undecim', 'duodecim',
    'tredecim', 'quatuordecim', 'quindecim', 'sedecim', 'septendecim', 'octodecim', 'novemdecim', 'viginti',
    'vigintiuno', 'vigintiduo', 'vigintitre', 'vigintiquatuor', 'vigintiquinque', 'vigintisex', 'vigintiseptem',
    'vigintiocto', 'vigintinovem', 'triginta'
][number];

-- Replaces letters with alternative spellings by a common one, and removes apostrophes, hyphens and dots.
CREATE OR REPLACE TEMP MACRO unfolded(name) AS translate(
    replace(replace(replace(lower(name), 'æ', 'ae'), 'œ', 'oe'), 'ß', 'ss'), 'ſđłð''’‘`´ʼ.‐‑–-', 'sdld'
);

-- Spells out numbers: "12-spinosa" becomes "duodecimspinosa".
CREATE OR REPLACE TEMP MACRO spelt_out(name) AS list_transform(
    [{name: name, number: regexp_extract(name, '(?:^| )([12]?[1-9]|[1-3]0) ?\p{Ll}{3}', 1)}],
    lambda read: CASE
        WHEN read.number = '' THEN read.name
        ELSE regexp_replace(
            read.name, '(^| )[0-9]{1,2} ?(\p{Ll}{3})', '\1' || latin_numeral(read.number::INTEGER) || '\2'
        )
    END
)[1];

-- Key for comparing spellings of a name: without case, accents, apostrophes and hyphens.
CREATE OR REPLACE TEMP MACRO name_key(name) AS CASE
    WHEN regexp_full_match(name, '[A-Za-z ]*') THEN lower(name)
    ELSE spelt_out(strip_accents(replace(unfolded(name), 'ø', 'o')))
END;

-- Additional keys of a name with umlauts and similar letters: "mülleri" is also written "muelleri", "å" as "ao" or "aa".
-- The reverse does not hold: muelleri and mulleri are different names.
CREATE OR REPLACE TEMP MACRO has_umlaut(name) AS
    -- Fast path: only names with multi-byte letters can have one.
    CASE WHEN strlen(name) > length(name) THEN regexp_matches(name, '(?i)[äöüøå]') ELSE false END;
CREATE OR REPLACE TEMP MACRO umlaut_keys(name) AS list_distinct(list_transform(
    ['ao', 'aa'],
    lambda ring: spelt_out(strip_accents(replace(replace(replace(replace(replace(
        unfolded(nfc_normalize(name)), 'ä', 'ae'), 'ö', 'oe'), 'ü', 'ue'), 'ø', 'oe'), 'å', ring)))
));

-- Key of a kingdom, the same for its synonyms. Protista was later split into two kingdoms; see `kingdoms_meant`.
CREATE OR REPLACE TEMP MACRO kingdom_key(name) AS CASE
    -- Fast path: nearly all are written like this.
    WHEN name IN ('Animalia', 'Plantae', 'Fungi', 'Chromista', 'Protozoa', 'Bacteria', 'Archaea', 'Viruses') THEN lower(name)
    WHEN lower(strip_accents(name)) IN ('metazoa', 'animals', 'animal') THEN 'animalia'
    WHEN lower(strip_accents(name)) IN ('viridiplantae', 'archaeplastida', 'chloroplastida', 'plants', 'plant', 'metaphyta')
        THEN 'plantae'
    WHEN lower(strip_accents(name)) IN ('eumycota', 'mycota', 'mycetae', 'fungus') THEN 'fungi'
    WHEN lower(strip_accents(name)) IN ('monera', 'eubacteria') THEN 'bacteria'
    WHEN lower(strip_accents(name)) IN ('archaebacteria') THEN 'archaea'
    WHEN lower(strip_accents(name)) IN ('virus', 'vira') THEN 'viruses'
    ELSE lower(strip_accents(name))
END;

-- The kingdoms that a written kingdom may mean; NULL if it is not the name of a kingdom.
CREATE OR REPLACE TEMP MACRO kingdoms_meant(name) AS CASE
    WHEN lower(strip_accents(name)) IN ('protista', 'protoctista') THEN ['chromista', 'protozoa']
    WHEN kingdom_key(name) IN (
        'animalia', 'plantae', 'fungi', 'chromista', 'protozoa', 'bacteria', 'archaea', 'viruses'
    ) THEN [kingdom_key(name)]
END;

-- Words that express doubt, for regular expressions. After a genus or an epithet, they are not epithets.
CREATE OR REPLACE TEMP MACRO doubt_words() AS
    'sp|spp|species|cf|cfr|aff|nr|near|prox|indet|gen|nov|ined|auct|auctt|'
    || 'unknown|unidentified|undetermined|indeterminate|unspecified|incertae|sedis|hybrid|complex|'
    || 'group|agg|aggr|clade|environmental|enrichment|uncultured|serovar|serotype|strain|of|not|x';

-- Words that join authors, or stand for a rank or a remark. A few are also epithets (Tethea or, Bolitoglossa la), which
-- only the backbone can decide.
CREATE OR REPLACE TEMP MACRO joining_words() AS
    'sensu|non|nec|nom|nomen|emend|et|ex|in|and|or|al|fil|pro|parte|sec|'
    || 'fide|vide|hort|ht|anon|mihi|bis|comb|stat|ms|'
    || 'de|da|do|dos|du|del|dela|della|delle|der|dem|den|des|di|la|le|el|los|'
    || 'van|von|vom|zu|zur|ter|ten|ver|af|und|'
    || 'subsp|ssp|var|subvar|forma|form|fo|fa|subf|morph|race|ab|cv|subgen|subg|'
    || 'sect|ser|spec|convar|agamovar|prol|natio|nvar|nothosubsp|nothovar|pv|pathovar|'
    || 'bv|biovar|tr|subtr|trib|subfam|div|subsect|subser';

CREATE OR REPLACE TEMP MACRO is_joining(word) AS regexp_full_match(lower(word), joining_words());

CREATE OR REPLACE TEMP MACRO no_epithets() AS doubt_words() || '|' || joining_words();

CREATE OR REPLACE TEMP MACRO is_no_epithet(word) AS regexp_full_match(lower(word), no_epithets());

-- The infraspecific rank that a word stands for; NULL for other words.
CREATE OR REPLACE TEMP MACRO infraspecific_rank(word) AS CASE
    WHEN word IN ('subsp', 'ssp', 'subspecies', 'nothosubsp', 'nothossp', 'nsubsp') THEN 'subspecies'
    WHEN word IN ('var', 'varietas', 'variety', 'nothovar', 'nvar') THEN 'variety'
    WHEN word IN ('subvar', 'subvarietas', 'subvariety') THEN 'subvariety'
    WHEN word IN ('f', 'fo', 'fa', 'form', 'forma', 'nothof', 'nothoforma') THEN 'form'
    WHEN word IN ('subf', 'subform', 'subforma') THEN 'subform'
    WHEN word IN (
        'ab', 'aberratio', 'morph', 'morpha', 'race', 'natio', 'prol', 'proles', 'convar', 'agamovar', 'pv', 'pathovar',
        'bv', 'biovar', 'mut', 'lusus', 'monstr'
    ) THEN word
END;

-- Whether a text is a simple name that needs none of the rules below: "Aus", "Aus bus", or "Aus bus (Author, 1900)"
-- without a lower-case word after the epithet.
-- Most names of a backbone are simple, and this single expression is much faster than the rules.
CREATE OR REPLACE TEMP MACRO is_clean_name(written) AS CASE
    WHEN
        NOT regexp_full_match(
            written,
            '[A-Z][a-z]{2,60}(?: [a-z]{2,60}(?: \(?[A-Z][A-Za-z.,)&-]{0,60}(?: [A-Z0-9&(][A-Za-z0-9.,)&-]{0,60}){0,9})?)?'
        )
        THEN false
    WHEN regexp_matches(written, '^(?:[A-Z][a-z]+ )?(?i:' || no_epithets() || ')(?: |$)') THEN false
    WHEN begins_unknown(written) OR contains(written, ' X ') THEN false
    WHEN
        regexp_matches(
            written, '(?i)sedis|virus|phage|viroid|symbiont|npv|ictv|satellite|plasmid|prion|vector|particle'
        )
        THEN NOT says_unknown(written) AND NOT is_named_after_host(written)
    ELSE true
END;

-- Regular expression of an epithet, including "7-punctata", "d'orbignyi", "st.-johnii".
CREATE OR REPLACE TEMP MACRO epithet_pattern() AS
    '(?:[1-9][0-9]?[- ]?|\p{Ll}{1,2}\.-)?\p{Ll}[\p{Ll}''-]*\p{Ll}';

-- Regular expression of a genus before its epithet, with a subgenus or abbreviated.
CREATE OR REPLACE TEMP MACRO genus_pattern() AS
    '(?:\p{Lu}\p{Ll}+(?:-\p{L}\p{Ll}+)*(?: ?\((?:(?:subgen|subg|sect)\. ?)?\p{Lu}[\p{L}.-]+\))? |\p{Lu}\p{Ll}{0,2}\. ?)';

-- Regular expression of an author after an epithet, recognised by a dot, an ampersand or a year.
CREATE OR REPLACE TEMP MACRO author_pattern() AS
    ',? (?:(?:sensu|auct|agg|s\. ?l|s\. ?str)\b.*|L|\(?(?:(?:d|de|da|do|dos|du|del|della|van|von|der|den|la|le|ex|et|in)[ '']+)*'
    || '\p{Lu}[^0-9]*(?:[.&]|(?:1[789]|20)[0-9]{2}).*)';

-- Kind of a name, to read it without a backbone:
--   species   a binomial or trinomial, with or without authors
--   recased   two words in the same case, which may be a binomial
--   open      a genus with its author, or with a sign that the species is not known
--   unranked  one word, of any rank
--   unknown   not a name
--   whole     none of these: the user's name of a class
CREATE OR REPLACE TEMP MACRO kind_of_name(written) AS list_transform(
    list_transform(
        [plain_text(written)],
        lambda text: {
            text: text,
            epithet: regexp_extract(
                text,
                '^(?:[×xX] ?|Candidatus )?' || genus_pattern() || '(?:× ?|[xX] )?(' || epithet_pattern() || ')'
                || '(?: (?:(?:nothosubsp|subsp|ssp|nothovar|var|subvar|forma?|fo|f|subf|ab|cv)\.? )?×?' || epithet_pattern() || ')*'
                || '(?:' || author_pattern() || ')?$',
                1
            )
        }
    ),
    lambda read: CASE
        WHEN read.text IS NULL OR says_unknown(read.text) THEN 'unknown'
        WHEN
            regexp_matches(
                read.text,
                '^' || genus_pattern() || '(?i:' || replace(doubt_words(), '|of|not|x', '') || ')(?:[^\p{L}-]|$)'
                || '|^\p{Lu}\p{Ll}+ ?(?:\?|\p{Ll}+\?)'
                || '|^\p{Lu}\p{Ll}+ \(?(?:L|\p{Lu}[\p{L}''. &-]*(?:\.|,? (?:1[789]|20)[0-9]{2}))\)?$'
            )
            THEN 'open'
        WHEN read.epithet != '' AND NOT is_no_epithet(read.epithet) AND NOT ends_with(read.epithet, 'ed') THEN 'species'
        WHEN
            regexp_full_match(read.text, '\p{Ll}[\p{Ll}-]+ \p{Ll}[\p{Ll}-]+|\p{Lu}[\p{Lu}-]+ \p{Lu}[\p{Lu}-]+')
            AND NOT is_no_epithet(split_part(read.text, ' ', 2))
            THEN 'recased'
        -- Scientific names are in Latin letters.
        WHEN NOT contains(read.text, ' ') AND regexp_matches(read.text, '^\P{L}*\p{Latin}') THEN 'unranked'
        ELSE 'whole'
    END
)[1];

-- Positions of possible infraspecific epithets among the words after an epithet.
CREATE OR REPLACE TEMP MACRO epithet_places(words) AS list_filter(
    range(1, len(words) + 1),
    lambda place: regexp_full_match(words[place], epithet_pattern() || '[,;:]?')
        AND NOT is_no_epithet(rtrim(words[place], ',;:'))
);

CREATE OR REPLACE TEMP MACRO rank_before(words, place) AS
    CASE WHEN place > 1 THEN infraspecific_rank(rtrim(lower(words[place - 1]), '.')) END;

-- Parse names into genus (or the word of a higher name), epithet and infraspecific epithet.
-- `texts` is the name of a table with a column `written`; returns one row for each distinct text:
--   word        the first word, capitalised: a genus or a higher name; NULL if there is none
--   epithet     NULL if the name is not of a species, or the species is uncertain
--   infra       epithet of a subspecies, variety or form; the last of several
--   infra_rank  its rank, if a word gives it
--   author      the text after the name
--   joining     a word that is either the epithet or part of the author: "Zodarion van Bosmans"
--   title       capitalised epithets, in lower case: "Quercus Alba"
--   whole       the complete text, if it is named after its host; `word` is then NULL
--   is_lower    the text begins in lower case
--   is_doubted  there is a question mark before the name or its subspecies
CREATE OR REPLACE TEMP MACRO name_parts(texts) AS TABLE
WITH sorted_out AS MATERIALIZED (
    SELECT written, is_clean_name(written) AS is_clean
    FROM (SELECT DISTINCT written FROM query_table(texts) WHERE written IS NOT NULL)
),
-- Unify apostrophes and hyphens.
plain AS (
    SELECT
        written,
        regexp_replace(
            regexp_replace(replace(plain_text(written), 'ſ', 's'), '[’‘`´ʼ]', '''', 'g'), '[‐‑–]', '-', 'g'
        ) AS text
    FROM sorted_out
    WHERE NOT is_clean
),
known AS MATERIALIZED (
    SELECT written, text, is_named_after_host(text) AS is_hosted
    FROM plain
    WHERE NOT says_unknown(text)
),
-- Remove a hybrid mark, brackets or other signs before the name; the mark in "Genus?" stays.
bare AS (
    SELECT
        written,
        regexp_matches(text, '^[^\p{L}]*\p{Ll}') AS is_lower,
        contains(regexp_extract(text, '^[^\p{L}]*'), '?') AS is_doubted,
        regexp_replace(
            regexp_replace(
                regexp_replace(text, '^[^\p{L}]+', ''), '^(?:[xX] ?|Candidatus )(\p{Lu}\p{Ll})', '\1'
            ),
            -- "[Cicada] melanaria"
            '^(\p{Lu}\p{Ll}+)\] ', '\1 '
        ) AS text
    FROM known
    WHERE NOT is_hosted
),
-- Names in capitals get normal case; a lower-case first letter is capitalised.
cased AS (
    SELECT
        written,
        is_lower,
        is_doubted,
        CASE
            WHEN text = upper(text) AND length(text) > 3 THEN upper(left(text, 1)) || lower(substr(text, 2))
            WHEN regexp_matches(text, '^\p{Lu}{3,} \p{Ll}')
                THEN left(text, 1) || lower(substr(split_part(text, ' ', 1), 2)) || substr(text, instr(text, ' '))
            ELSE upper(left(text, 1)) || substr(text, 2)
        END AS text
    FROM bare
),
-- Remove what may be between genus and epithet: a subgenus, maybe abbreviated, and the mark of a hybrid with its own name.
joined AS (
    SELECT
        written,
        is_lower,
        is_doubted,
        regexp_replace(
            regexp_replace(
                regexp_replace(
                    text,
                    '^(\p{Lu}[\p{L}-]+) ?'
                    || '(?:[(\[] ?(?:(?:subgen|subg|sect|s)\.? ?)?\p{L}[\p{L}-]*\.? ?\?? ?[)\]]'
                    || '|(?:subgen|subg|sect)\. \p{Lu}[\p{L}-]+)'
                    || ' ?(\p{Ll}|[0-9]|×|\?|[xX] )',
                    '\1 \2'
                ),
                '^(\p{Lu}[\p{L}-]+)(?: ?×| [xX] ) *(\p{Ll})', '\1 \2'
            ),
            '( (?:notho)?(?:subsp|ssp|var|f)\.?) ?× ?', '\1 '
        ) AS text
    FROM cased
),
marked AS (
    SELECT
        written,
        is_lower,
        -- Hybrid formulas and grafts are not species: "Quercus alba × robur", "Crataegus + Mespilus".
        regexp_matches(text, '^\p{Lu}[\p{L}.-]+ .*?(?:×| [xX+](?: |$))|^\p{Lu}[\p{L}-]+ [×+]') AS is_formula,
        -- "cf.", "aff." and similar words make what follows uncertain, a question mark the epithet beside it.
        regexp_matches(
            text, '^(?:\p{Lu}[\p{L}-]+ )?(?i:cf|cfr|aff|nr|near|prox|sp|spp|species|gen|indet|n\. ?sp)(?:[^\p{L}-]|$)'
        )
        OR regexp_matches(text, '^\p{Lu}[\p{L}-]+ ?(?:\? ?\p{Ll}|\p{Ll}[\p{Ll}-]+\?)') AS is_uncertain,
        is_doubted OR regexp_matches(text, '^[\p{L}-]+(?: [\p{Ll}-]+)* ?\?') AS is_doubted,
        regexp_replace(
            trim(regexp_replace(replace(text, '?', ' '), ' +', ' ', 'g')), '^(?i:cf|cfr|aff)\.? +', ''
        ) AS text
    FROM joined
),
-- "Quercus Quercus alba": the genus was prepended to a species name that included it.
once AS (
    SELECT
        * EXCLUDE (text),
        CASE
            WHEN split_part(text, ' ', 1) = split_part(text, ' ', 2) THEN substr(text, instr(text, ' ') + 1)
            ELSE text
        END AS text
    FROM marked
),
-- An abbreviated genus keeps its dot: "Q. alba".
headed AS (
    SELECT
        * EXCLUDE (text),
        coalesce(
            nullif(regexp_extract(text, '^(\p{Lu}\p{Ll}{0,2}\. ?)\p{Ll}', 1), ''),
            regexp_extract(
                text, '^(\p{Lu}\p{Ll}+(?:-\p{L}\p{Ll}+)*)(?:[^\p{L}\p{N}''.-]|[.-](?:[^\p{L}]|$)|$)', 1
            )
        ) AS head,
        substr(text, length(head) + 1) AS text
    FROM once
),
binomials AS (
    SELECT
        * EXCLUDE (text),
        trim(head) AS word,
        CASE
            WHEN word LIKE '%virus' AND regexp_full_match(text, ' [\p{Ll}]*[A-Za-z]*[0-9]?[A-Za-z0-9]*[0-9]') THEN trim(text)
            ELSE regexp_extract(text, '^ ?(' || epithet_pattern() || ')(?:[ ,;:.!)(\[]|$)', 1)
        END AS raw_epithet,
        text AS behind,
        trim(regexp_replace(
            regexp_replace(
                replace(substr(ltrim(text), length(raw_epithet) + 1), '(', ' ('),
                '^ [a-dg-k] | (?:\p{Greek}|ß|\*) ', ' ', 'g'
            ),
            '(?i)[ ,;(]+(?:sensu|non|nec|not|sec|fide|vide|pro parte|cf|cfr|aff|nr|near|spp?|indet)(?:[^\p{L}-].*|$)', ''
        )) AS tail
    FROM headed
),
split AS (
    SELECT *, regexp_split_to_array(tail, ' +') AS words
    FROM binomials
),
epithets AS (
    SELECT *, epithet_places(words) AS places
    FROM split
),
placed AS (
    SELECT
        *,
        coalesce(
            -- After a word for a rank, else directly after the epithet, else after its author.
            list_last(list_filter(places, lambda place: rank_before(words, place) IS NOT NULL)),
            list_last(list_filter(places, lambda place, number: place = number)),
            list_last(list_filter(places, lambda place: place > 1 AND regexp_matches(words[place - 1], '[.)]$')))
        ) AS infra_place
    FROM epithets
),
names AS (
    SELECT
        *,
        raw_epithet != '' AND NOT is_formula AND NOT is_uncertain AND NOT is_no_epithet(raw_epithet) AS has_epithet
    FROM placed
)
SELECT
    written,
    -- An abbreviated genus needs an epithet.
    CASE WHEN word != '' AND (has_epithet OR word NOT LIKE '%.') THEN word END AS word,
    -- No Latin word begins with x and a consonant, so this x is a hybrid mark.
    CASE WHEN has_epithet THEN regexp_replace(raw_epithet, '^x([bcdfghjklmnpqrstvwz])', '\1') END AS epithet,
    CASE WHEN has_epithet THEN rtrim(words[infra_place], ',;:') END AS infra,
    CASE WHEN has_epithet THEN rank_before(words, infra_place) END AS infra_rank,
    nullif(CASE
        WHEN has_epithet AND infra_place IS NOT NULL THEN array_to_string(words[infra_place + 1:], ' ')
        ELSE tail
    END, '') AS author,
    CASE WHEN NOT is_formula AND NOT is_uncertain AND is_joining(raw_epithet) THEN raw_epithet END AS joining,
    CASE
        WHEN NOT is_formula AND NOT is_uncertain AND raw_epithet = '' AND word NOT LIKE '%.'
            THEN nullif(lower(regexp_extract(behind, '^ (\p{Lu}\p{Ll}+(?:-\p{L}\p{Ll}+)?(?: \p{Lu}\p{Ll}+)?)(?:[ ,;(]|$)', 1)), '')
    END AS title,
    NULL AS whole,
    is_lower,
    is_doubted
FROM names
UNION ALL
SELECT written, NULL, NULL, NULL, NULL, NULL, NULL, NULL, text, false, false
FROM known
WHERE is_hosted
UNION ALL
SELECT
    written,
    split_part(written, ' ', 1),
    nullif(split_part(written, ' ', 2), ''),
    NULL,
    NULL,
    nullif(substr(written, length(split_part(written, ' ', 1)) + length(split_part(written, ' ', 2)) + 3), ''),
    NULL,
    NULL,
    NULL,
    false,
    false
FROM sorted_out
WHERE is_clean;

-- Only the parts of the name.
CREATE OR REPLACE TEMP MACRO parsed_names(texts) AS TABLE
SELECT written, word, epithet, infra FROM name_parts(texts);
