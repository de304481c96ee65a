-- The labels that a curator decided. In: `override_rows` (the CSV's columns and `row`, from 2) and `labels`.
-- Out: `overridden`, at most one row per label.

-- One row per filled cell. A row matches a label that has all its cells, ignoring case and spaces.
CREATE OR REPLACE TEMP TABLE override_cells AS
SELECT row, "column", name_key(plain_text(written)) AS key
FROM (
    UNPIVOT override_rows
    ON kingdom, phylum, class, "order", family, genus, species, scientific_name
    INTO NAME "column" VALUE written
)
WHERE plain_text(written) IS NOT NULL;

-- Only labels that share a cell with a row are compared.
CREATE OR REPLACE TEMP TABLE overridden AS
WITH label_cells AS (
    SELECT label, "column", name_key(plain_text(written)) AS key
    FROM (
        UNPIVOT (FROM labels WHERE EXISTS (SELECT 1 FROM override_cells))
        ON kingdom, phylum, class, "order", family, genus, species, scientific_name
        INTO NAME "column" VALUE written
    )
),
matches AS (
    SELECT label_cells.label, override_cells.row, count(*) AS cells
    FROM override_cells
    JOIN label_cells USING ("column", key)
    GROUP BY label_cells.label, override_cells.row
)
SELECT matches.label, matches.row, override_rows.taxon_id, override_rows.why
FROM matches
JOIN (SELECT row, count(*) AS cells FROM override_cells GROUP BY row) AS filled USING (row, cells)
JOIN override_rows USING (row)
-- The row with the most cells, then the first.
QUALIFY row_number() OVER (PARTITION BY matches.label ORDER BY matches.cells DESC, matches.row) = 1;

-- Taxa of overrides that were not found yet; `find_direct.sql` removes those that a backbone has.
CREATE OR REPLACE TEMP TABLE targets_sought AS
SELECT row, taxon_id
FROM override_rows
WHERE taxon_id IS NOT NULL;
