"""Read a curator's overrides: a CSV file of taxa for labels, which takes precedence over every strategy.

Columns: any of the seven ranks and `scientific_name`, as the provider wrote them (an empty cell matches anything);
`taxon_id`, the answer as `backbone:id`, or empty to leave the label unresolved; `why`, a note for readers. If several
rows match a label, the one with the most filled cells decides, then the first.
"""

from pathlib import Path

import duckdb

from workflow_scripts.common.errors import InputError, first_line
from workflow_scripts.common.tables import literal, quoted
from workflow_scripts.contracts import RANKS

LABEL_COLUMNS = (*RANKS, "scientific_name")
COLUMNS = (*LABEL_COLUMNS, "taxon_id", "why")


def read_overrides(connection: duckdb.DuckDBPyConnection, path: Path | None) -> None:
    """Create the table `override_rows` with each row's line number; without a file it is empty.

    Raises:
        InputError: the file is missing or not CSV, has unknown columns or no `taxon_id`, or a row matches every label.
    """
    if path is None:
        columns = ", ".join(f"{quoted(column)} VARCHAR" for column in COLUMNS)
        connection.execute(f"CREATE OR REPLACE TEMP TABLE override_rows (row BIGINT, {columns})")
        return
    if not path.is_file():
        raise InputError(f"{path}: missing (taxonomy.overrides)")
    source = f"read_csv({literal(path)}, header = true, delim = ',', all_varchar = true, parallel = false)"
    try:
        found = [str(row[0]) for row in connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()]
        if unknown := sorted(set(found) - set(COLUMNS)):
            raise InputError(f"{path}: unknown column {', '.join(unknown)}; allowed: {', '.join(COLUMNS)}")
        if "taxon_id" not in found or not set(found) & set(LABEL_COLUMNS):
            raise InputError(f"{path}: needs the column taxon_id and at least one of {', '.join(LABEL_COLUMNS)}")
        columns = ", ".join(
            f"nullif(trim({quoted(column)}), '') AS {quoted(column)}"
            if column in found
            else f"NULL::VARCHAR AS {quoted(column)}"
            for column in COLUMNS
        )
        # The header is line 1.
        connection.execute(
            "CREATE OR REPLACE TEMP TABLE override_rows AS "
            f"SELECT row_number() OVER () + 1 AS row, {columns} FROM {source}"
        )
    except duckdb.Error as error:
        raise InputError(f"{path}: cannot be read as CSV: {first_line(error)}") from None
    cells = ", ".join(quoted(column) for column in LABEL_COLUMNS)
    empty = connection.execute(f"SELECT min(row) FROM override_rows WHERE coalesce({cells}) IS NULL").fetchone()
    if empty is not None and empty[0] is not None:
        raise InputError(f"{path}: row {empty[0]} matches every label; fill in a rank or scientific_name")


def check_targets(connection: duckdb.DuckDBPyConnection, path: Path | None) -> None:
    """Check that each override's taxon was found, after all backbones were searched.

    Raises:
        InputError: a row's `taxon_id` is in no backbone.
    """
    row = connection.execute("SELECT row, taxon_id FROM targets_sought ORDER BY row LIMIT 1").fetchone()
    if row is not None:
        raise InputError(f"{path}: row {row[0]}: no backbone has the taxon {row[1]}; write its id as `backbone:id`")
