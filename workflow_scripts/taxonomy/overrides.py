"""A curator's overrides: a CSV file with the taxa of some labels, which take precedence over resolution.

Columns: any of the seven ranks and `scientific_name`, as the provider wrote them (an empty cell means anything);
`taxon_id`, the answer as `backbone:id`, or empty for a label that shall stay unresolved; `why`, for whoever reads it
later. Of several rows that a label meets the one with most cells decides, then the first.
"""

from pathlib import Path

import duckdb

from workflow_scripts.common.errors import InputError
from workflow_scripts.common.tables import literal, quoted
from workflow_scripts.contracts import RANKS

LABEL_COLUMNS = (*RANKS, "scientific_name")
COLUMNS = (*LABEL_COLUMNS, "taxon_id", "why")


def read_overrides(connection: duckdb.DuckDBPyConnection, path: Path | None) -> None:
    """Name the overrides as the table `override_rows`, with each one's line in the file; an empty one without a file.

    Raises:
        InputError: the file is missing or no CSV, has unknown columns, no `taxon_id`, or a row that meets every label.
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
            raise InputError(f"{path}: unknown column {', '.join(unknown)}; it may have {', '.join(COLUMNS)}")
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
        raise InputError(f"{path}: cannot be read as CSV: {str(error).splitlines()[0]}") from None
    cells = ", ".join(quoted(column) for column in LABEL_COLUMNS)
    empty = connection.execute(f"SELECT min(row) FROM override_rows WHERE coalesce({cells}) IS NULL").fetchone()
    if empty is not None and empty[0] is not None:
        raise InputError(f"{path}: row {empty[0]} says nothing of the label; fill in a rank or scientific_name")


def check_targets(connection: duckdb.DuckDBPyConnection, path: Path | None) -> None:
    """Once all backbones were asked.

    Raises:
        InputError: a row's `taxon_id` is in none of them.
    """
    row = connection.execute("SELECT row, taxon_id FROM targets_sought ORDER BY row LIMIT 1").fetchone()
    if row is not None:
        raise InputError(f"{path}: row {row[0]}: no backbone has the taxon {row[1]}; its id is written `backbone:id`")
