"""Shared code of the readers: convert a source's columns to contract records."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice, takewhile
from pathlib import Path

import duckdb
from duckdb.func import SPECIAL

from workflow_scripts.catalog.licences import licence_of
from workflow_scripts.common import tables
from workflow_scripts.common.accounts import account_for, count_by_reason, write_account
from workflow_scripts.common.config.catalog import SourceSettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.table_columns import NAMED
from workflow_scripts.common.table_files import open_table
from workflow_scripts.common.tables import literal, quoted
from workflow_scripts.contracts import SOURCE_RECORDS

HERE = Path(__file__).parent
CROP = ("x", "y", "width", "height")
# Missing values as text, by R, pandas and spreadsheets.
MISSING = ("", "NA", "<NA>", "N/A", "#N/A", "nan", "NaN", "None")
SHOWN_LINES = 4


def run_sql(connection: duckdb.DuckDBPyConnection, *scripts: Path) -> None:
    """Run SQL files in order."""
    for script in scripts:
        connection.execute(script.read_text(encoding="utf-8"))


def set_variable(connection: duckdb.DuckDBPyConnection, name: str, value: str | int | bool) -> None:
    """Set a variable that the SQL files read with `getvariable(name)`."""
    written = literal(value) if isinstance(value, str) else str(value)
    connection.execute(f"SET VARIABLE {quoted(name)} = {written}")


@contextmanager
def one_line(what: str) -> Iterator[None]:
    """Turn DuckDB's errors about input data into an InputError of one line that begins with `what`."""
    try:
        yield
    except duckdb.OutOfMemoryException:
        # Not an error in the data: more memory helps.
        raise
    except duckdb.Error as error:
        lines = [line.strip() for line in str(error).splitlines() if not line.startswith("LINE ")]
        shown = takewhile(lambda line: not line.startswith("Possible"), (line for line in lines if line.strip("^ ")))
        raise InputError(f"{what}: {'; '.join(islice(shown, SHOWN_LINES))}") from None


def columns_of(connection: duckdb.DuckDBPyConnection, source: str) -> list[str]:
    """The column names of a table, view or table function, in order."""
    return [str(row[0]) for row in connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()]


def view_as_text(
    connection: duckdb.DuckDBPyConnection,
    source: str,
    view: str,
    names: Sequence[str],
    found_as: Mapping[str, str],
    *,
    keep: Sequence[str] = (),
) -> None:
    """Create `view`: the columns `names` of `source` as text, and the column `kept`. Empty text becomes NULL.

    Args:
        found_as: maps contract names to column names in the source; contract columns without one are NULL.
        keep: source columns that go into `kept`, a struct of texts (NULL if there are none).
    """
    missing = ", ".join(map(literal, MISSING))
    projections = [
        f"CASE WHEN CAST({quoted(found_as[name])} AS VARCHAR) NOT IN ({missing}) "
        f"THEN CAST({quoted(found_as[name])} AS VARCHAR) END AS {quoted(name)}"
        if name in found_as
        else f"NULL::VARCHAR AS {quoted(name)}"
        for name in names
    ]
    entries = ", ".join(f"{literal(name)}: nullif(CAST({quoted(name)} AS VARCHAR), '')" for name in keep)
    projections.append(f"{{{entries}}} AS kept" if keep else "NULL::VARCHAR AS kept")
    connection.execute(f"CREATE OR REPLACE TEMP VIEW {quoted(view)} AS SELECT {', '.join(projections)} FROM {source}")


def select_rows(connection: duckdb.DuckDBPyConnection, source: str, select: str | None, name: str) -> tuple[int, int]:
    """Create the view `selected`: the rows of `source` for which the SQL predicate `select` is true.

    Returns:
        The number of rows in the source, and the number selected.

    Raises:
        InputError: the predicate is not valid SQL, uses an unknown column, or fails on a row.
    """
    if select is not None and ";" in select:
        raise InputError(f"source {name}: select: {select!r} must be a single expression; remove the semicolon")
    condition = f"WHERE ({select}\n)" if select is not None else ""
    columns = ", ".join(columns_of(connection, source))
    with one_line(f"source {name}: select: {select!r} fails on a table with the columns {columns}"):
        connection.execute(f"CREATE OR REPLACE TEMP VIEW selected AS SELECT * FROM {source} {condition}")
        selected = count_rows(connection, "selected")
    return count_rows(connection, source), selected


def require_columns(file: Path, found: Sequence[str], needed: Sequence[str]) -> None:
    """Check that a file has the needed columns.

    Raises:
        InputError: a column is missing.
    """
    if missing := [name for name in needed if name not in found]:
        raise InputError(f"{file}: no column {', '.join(missing)}; it has {', '.join(found)}")


def open_text(connection: duckdb.DuckDBPyConnection, file: Path, name: str, delimiter: str, quote: str = "") -> None:
    """Read a delimited text file into the table `name`, every value as text. The table spills to disk.

    Raises:
        InputError: the file is missing or not a table with this delimiter; the message names a malformed row's line.
    """
    with tempfile.TemporaryDirectory(prefix="text-") as scratch:
        open_table(connection, file, name, Path(scratch), delimiter=delimiter, quote=quote)


def write_named(
    connection: duckdb.DuckDBPyConnection,
    *,
    settings: SourceSettings,
    query: str,
    rows: int,
    out: Path,
    account: Path,
    images: Path = Path(),
    left_out: Mapping[str, int] = {},
    always_kept: Sequence[str] = (),
    found_as: Mapping[str, str] | None = None,
    decimal: str = ".",
) -> None:
    """Write contract records from a query whose columns are named as in `NAMED`.

    Args:
        settings: the source's config section; `select` can use all columns of the query.
        query: the source's rows; columns that it lacks are NULL.
        rows: number of rows in the source.
        images: the folder that relative values of `path` start from.
        left_out: number of rows left out by the query, by reason.
        always_kept: columns that are kept in addition to the config's `keep`.
        found_as: maps names of `NAMED` to columns of the query, if they differ.
        decimal: the decimal mark of x, y, width and height.

    Raises:
        InputError: `select` or `keep` names a missing column, or `select` fails.
    """
    set_variable(connection, "source_name", settings.name)
    set_variable(connection, "decimal", decimal)
    set_variable(connection, "images", str(images.absolute()))
    run_sql(connection, HERE / "identity.sql")
    connection.execute(f"CREATE OR REPLACE TEMP VIEW offered AS {query}")
    found = columns_of(connection, "offered")
    keep = [*settings.keep, *(name for name in always_kept if name not in settings.keep)]
    require_columns(Path(f"source {settings.name}"), found, keep)
    _, selected = select_rows(connection, "offered", settings.select, settings.name)
    if found_as is None:
        found_as = {name: name for name in NAMED if name in found}
    set_variable(connection, "has_crops", all(side in found_as for side in CROP))
    view_as_text(connection, "selected", "named", NAMED, found_as, keep=keep)
    run_sql(connection, HERE / "table.sql")
    write_records(
        connection,
        name=settings.name,
        rows=rows,
        selected=selected,
        out=out,
        account=account,
        keep=keep,
        left_out=left_out,
    )


def write_records(
    connection: duckdb.DuckDBPyConnection,
    *,
    name: str,
    rows: int,
    selected: int,
    out: Path,
    account: Path,
    keep: Sequence[str] = (),
    left_out: Mapping[str, int] = {},
) -> None:
    """Write the view `described` as contract records, and the account of the source's rows.

    Args:
        name: the source's name.
        rows: number of rows in the source.
        selected: number of rows in `described`.
        keep: fields of the column `kept` that become columns.
        left_out: number of rows missing from `described`, by reason; the remaining ones were not selected.

    Raises:
        InputError: a file of the source is damaged.
    """
    # Only now are the source's files read to the end.
    with one_line(f"source {name}: cannot be read as a table"):
        connection.create_function("licence_of", licence_of, ["VARCHAR", "VARCHAR"], "VARCHAR", null_handling=SPECIAL)
        run_sql(connection, HERE / "records.sql")
        counts = count_by_reason(connection, "judged", "problem")
    kept_columns = "".join(f", kept[{literal(name)}] AS {quoted(name)}" for name in keep)
    query = f"SELECT * EXCLUDE (kept){kept_columns} FROM records"
    kept = tables.write(connection, query, SOURCE_RECORDS, out)
    elsewhere = {**left_out, "not_selected": rows - selected - sum(left_out.values())}
    counted = account_for(
        counts, stage="catalog", part=name, unit="images", kept=kept, lost_as="repeated", elsewhere=elsewhere,
        rows_in=rows,
    )  # fmt: skip
    write_account(account, counted)


def count_rows(connection: duckdb.DuckDBPyConnection, source: str) -> int:
    """The number of rows in a table or view; `source` may end in a WHERE clause."""
    return int(tables.scalar(connection, f"SELECT count(*) FROM {source}"))
