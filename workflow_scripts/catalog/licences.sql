-- Common spellings of the Creative Commons licences and marks, as SPDX identifiers (spdx.org/licenses).
-- A licence without its version names none, and stays NULL.

-- Lower case, words and numbers joined by "-": "CC BY-NC 4.0", "cc_by_nc_4_0" and
-- "https://creativecommons.org/licenses/by-nc/4.0/legalcode" all come close to "cc-by-nc-4-0".
CREATE OR REPLACE TEMP MACRO licence_words(written) AS
    trim(regexp_replace(
        regexp_replace(
            replace(replace(replace(replace(replace(replace(replace(
                regexp_replace(lower(written), '[^a-z0-9]+', '-', 'g'),
                'attribution', 'by'),
                'non-commercial', 'nc'), 'noncommercial', 'nc'),
                'share-alike', 'sa'), 'sharealike', 'sa'),
                'no-derivatives', 'nd'), 'noderivatives', 'nd'),
            '^(https?-)?(www-)?creativecommons-org-(?:licenses|(publicdomain))-', 'cc-\3-'
        ),
        '-+', '-', 'g'
    ), '-');

-- The words, without what may surround the licence itself.
CREATE OR REPLACE TEMP MACRO licence_core(words) AS
    regexp_replace(
        regexp_replace(words, '^(licensed-under-)?(a-)?(cc-|creative-commons-)+', 'cc-'),
        '(-(international|unported|generic|universal|license|licence|legalcode|deed|en|public))+$', ''
    );

CREATE OR REPLACE TEMP MACRO spdx_of_core(core) AS
    CASE
        WHEN regexp_full_match(core, '(cc-)?(cc0|zero|publicdomain-zero)(-1-0)?(-public-domain(-dedication)?)?')
            THEN 'CC0-1.0'
        WHEN regexp_full_match(core, '(cc-)?((public-domain|publicdomain|pdm)(-mark)?(-1-0)?|no-known-copyright.*)')
            THEN 'CC-PDM-1.0'
        WHEN regexp_full_match(core, '(cc-)?by(-nc)?(-sa|-nd)?-(1-0|2-0|2-5|3-0|4-0)')
            THEN 'CC-' || upper(regexp_extract(core, 'by(-nc)?(-sa|-nd)?'))
                || regexp_replace(regexp_extract(core, '-\d-\d$'), '-(\d)-(\d)', '-\1.\2')
    END;

CREATE OR REPLACE TEMP MACRO spdx_of(written) AS spdx_of_core(licence_core(licence_words(written)));
