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

-- What lives in or on an organism, or is made from it, and is named after it: a virus, a plasmid, a symbiont.
-- "Turkozelotes attavirus Chatzaki, 2019" is a spider: its second word is an epithet, for an author stands behind it.
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

-- Numerals as epithets spell them.
CREATE OR REPLACE TEMP MACRO latin_numeral(number) AS [
    'uni', 'bi', 'tri', 'quadri', 'quinque', 'sex', 'septem', 'octo', 'novem', 'decem', 'undecim', 'duodecim',
    'tredecim', 'quatuordecim', 'quindecim', 'sedecim', 'septendecim', 'octodecim', 'novemdecim', 'viginti',
    'vigintiuno', 'vigintiduo', 'vigintitre', 'vigintiquatuor', 'vigintiquinque', 'vigintisex', 'vigintiseptem',
    'vigintiocto', 'vigintinovem', 'triginta'
][number];

-- Letters that people write in two ways, by the way that they share; no apostrophe, hyphen or dot.
CREATE OR REPLACE TEMP MACRO unfolded(name) AS translate(
    replace(replace(replace(lower(name), 'æ', 'ae'), 'œ', 'oe'), 'ß', 'ss'), 'ſđłð''’‘`´ʼ.‐‑–-', 'sdld'
);

-- "12-spinosa" is duodecimspinosa.
CREATE OR REPLACE TEMP MACRO spelt_out(name) AS list_transform(
    [{name: name, number: regexp_extract(name, '(?:^| )([12]?[1-9]|[1-3]0) ?\p{Ll}{3}', 1)}],
    lambda read: CASE
        WHEN read.number = '' THEN read.name
        ELSE regexp_replace(
            read.name, '(^| )[0-9]{1,2} ?(\p{Ll}{3})', '\1' || latin_numeral(read.number::INTEGER) || '\2'
        )
    END
)[1];

-- How two spellings of one name are compared: without case, accents, apostrophes and hyphens.
CREATE OR REPLACE TEMP MACRO name_key(name) AS CASE
    WHEN regexp_full_match(name, '[A-Za-z ]*') THEN lower(name)
    ELSE spelt_out(strip_accents(replace(unfolded(name), 'ø', 'o')))
END;

-- Further keys of a name with umlauts and their like: "mülleri" is written "muelleri" too, "å" both "ao" and "aa".
-- The reverse is not true: muelleri and mulleri are two names.
CREATE OR REPLACE TEMP MACRO has_umlaut(name) AS
    -- Only a name with letters of several bytes can have one.
    CASE WHEN strlen(name) > length(name) THEN regexp_matches(name, '(?i)[äöüøå]') ELSE false END;
CREATE OR REPLACE TEMP MACRO umlaut_keys(name) AS list_distinct(list_transform(
    ['ao', 'aa'],
    lambda ring: spelt_out(strip_accents(replace(replace(replace(replace(replace(
        unfolded(nfc_normalize(name)), 'ä', 'ae'), 'ö', 'oe'), 'ü', 'ue'), 'ø', 'oe'), 'å', ring)))
));

-- Kingdoms by other names, as one key. Protista holds what later became two kingdoms; see `kingdoms_meant`.
CREATE OR REPLACE TEMP MACRO kingdom_key(name) AS CASE
    -- Nearly all are written so.
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

-- The kingdoms that a written kingdom may mean; NULL when it establishes none (a word that is no kingdom's name).
CREATE OR REPLACE TEMP MACRO kingdoms_meant(name) AS CASE
    WHEN lower(strip_accents(name)) IN ('protista', 'protoctista') THEN ['chromista', 'protozoa']
    WHEN kingdom_key(name) IN (
        'animalia', 'plantae', 'fungi', 'chromista', 'protozoa', 'bacteria', 'archaea', 'viruses'
    ) THEN [kingdom_key(name)]
END;

-- Words of doubt, for regular expressions: behind a genus or an epithet they are none.
CREATE OR REPLACE TEMP MACRO doubt_words() AS
    'sp|spp|species|cf|cfr|aff|nr|near|prox|indet|gen|nov|ined|auct|auctt|'
    || 'unknown|unidentified|undetermined|indeterminate|unspecified|incertae|sedis|hybrid|complex|'
    || 'group|agg|aggr|clade|environmental|enrichment|uncultured|serovar|serotype|strain|of|not|x';

-- Words that join authors, or stand for a rank or a remark. A few are epithets too (Tethea or, Bolitoglossa la): what
-- they are is for the backbone to say.
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

-- Words for infraspecific ranks, by the rank's name; NULL for any other word.
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

-- Whether a text is a name and nothing else that the rules below would have to find out: "Aus", "Aus bus", and
-- "Aus bus (Author, 1900)" without a word in lower case behind the epithet.
-- Most names of a backbone are: one expression that a single scan answers goes before the many that it stands for.
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

-- An epithet as it may be written, for regular expressions: "7-punctata", "d'orbignyi", "st.-johnii".
CREATE OR REPLACE TEMP MACRO epithet_pattern() AS
    '(?:[1-9][0-9]?[- ]?|\p{Ll}{1,2}\.-)?\p{Ll}[\p{Ll}''-]*\p{Ll}';

-- A genus in front of its epithet, for regular expressions: with a subgenus, or cut short.
CREATE OR REPLACE TEMP MACRO genus_pattern() AS
    '(?:\p{Lu}\p{Ll}+(?:-\p{L}\p{Ll}+)*(?: ?\((?:(?:subgen|subg|sect)\. ?)?\p{Lu}[\p{L}.-]+\))? |\p{Lu}\p{Ll}{0,2}\. ?)';

-- What stands behind an epithet for it to be a scientific name's: an author with a dot, an ampersand or a year.
CREATE OR REPLACE TEMP MACRO author_pattern() AS
    ',? (?:(?:sensu|auct|agg|s\. ?l|s\. ?str)\b.*|L|\(?(?:(?:d|de|da|do|dos|du|del|della|van|von|der|den|la|le|ex|et|in)[ '']+)*'
    || '\p{Lu}[^0-9]*(?:[.&]|(?:1[789]|20)[0-9]{2}).*)';

-- How a person wrote a name where no backbone says what it is:
--   species   a binomial or trinomial, with authors or without
--   recased   two words in one case, which may be one
--   open      a genus, with a sign that the species is not known, or with its author
--   unranked  one word, of any rank
--   unknown   no name
--   whole     none of these: what the person calls a class
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
        -- No scientific name is in other letters.
        WHEN NOT contains(read.text, ' ') AND regexp_matches(read.text, '^\P{L}*\p{Latin}') THEN 'unranked'
        ELSE 'whole'
    END
)[1];

-- The places of infraspecific epithets among the words behind an epithet.
CREATE OR REPLACE TEMP MACRO epithet_places(words) AS list_filter(
    range(1, len(words) + 1),
    lambda place: regexp_full_match(words[place], epithet_pattern() || '[,;:]?')
        AND NOT is_no_epithet(rtrim(words[place], ',;:'))
);

CREATE OR REPLACE TEMP MACRO rank_before(words, place) AS
    CASE WHEN place > 1 THEN infraspecific_rank(rtrim(lower(words[place - 1]), '.')) END;

-- Names read into genus (or the one word of a higher name), epithet and infraspecific epithet.
-- `texts` names a table with a column `written`; each distinct one comes back with
--   word        the first word, capitalised: a genus or a higher name; NULL when there is none
--   epithet     NULL when the name is no species', or when the writer is not certain of the species
--   infra       epithet of a subspecies, variety or form, the last where there are several
--   infra_rank  its rank, where a word says it
--   author      what stands behind the name
--   joining     a word that is the epithet or belongs to the author: "Zodarion van Bosmans"
--   title       epithets in capitals, as if they were in lower case: "Quercus Alba"
--   whole       the whole text of what is named after its host; there is no word then
--   is_lower    the text begins in lower case
--   is_doubted  a question mark stands in front of the name, or of its subspecies
CREATE OR REPLACE TEMP MACRO name_parts(texts) AS TABLE
WITH sorted_out AS MATERIALIZED (
    SELECT written, is_clean_name(written) AS is_clean
    FROM (SELECT DISTINCT written FROM query_table(texts) WHERE written IS NOT NULL)
),
-- One sign for an apostrophe, one for a hyphen.
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
-- A hybrid mark, brackets or other signs in front of the name; "Genus?" keeps its mark behind.
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
-- A name in capitals only is written as names are; a lower-case beginning is a capital left out.
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
-- Without what may stand between genus and epithet: a subgenus, whole or cut short, and the mark of a hybrid that has a
-- name of its own.
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
                    || '(?:[(\[] ?(?:(?:subgen|subg|sect)\.? )?\p{L}[\p{L}-]*\.? ?\?? ?[)\]]'
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
        -- Two parents are no species, nor is a graft: "Quercus alba × robur", "Crataegus + Mespilus".
        regexp_matches(text, '^\p{Lu}[\p{L}.-]+ .*?(?:×| [xX+](?: |$))|^\p{Lu}[\p{L}-]+ [×+]') AS is_formula,
        -- "cf.", "aff." and their like put in doubt what stands behind them, a question mark the epithet next to it.
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
-- A genus that is cut short keeps its dot: "Q. alba".
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
            ELSE regexp_extract(text, '^ ?(' || epithet_pattern() || ')(?:[ ,;:.)(\[]|$)', 1)
        END AS raw_epithet,
        text AS behind,
        trim(regexp_replace(
            regexp_replace(
                replace(substr(ltrim(text), length(raw_epithet) + 1), '(', ' ('),
                ' (?:\p{Greek}|\*) ', ' ', 'g'
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
            -- Behind a word for a rank, else directly behind the epithet, else behind its author.
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
    -- A genus cut short is no name without an epithet.
    CASE WHEN word != '' AND (has_epithet OR word NOT LIKE '%.') THEN word END AS word,
    -- No Latin word begins with x and a consonant: the mark of a hybrid was glued to it.
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

-- The name alone.
CREATE OR REPLACE TEMP MACRO parsed_names(texts) AS TABLE
SELECT written, word, epithet, infra FROM name_parts(texts);
