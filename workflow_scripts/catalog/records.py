"""Shared code of the readers: from a source's columns to contract records."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import takewhile
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
SHOWN_LINES = 4


def run_sql(connection: duckdb.DuckDBPyConnection, *scripts: Path) -> None:
    """Run SQL files, one after the other."""
    for script in scripts:
        connection.execute(script.read_text(encoding="utf-8"))


def set_variable(connection: duckdb.DuckDBPyConnection, name: str, value: str | int | bool) -> None:
    """Give a value to the SQL files, which read it with `getvariable(name)`."""
    written = literal(value) if isinstance(value, str) else str(value)
    connection.execute(f"SET VARIABLE {quoted(name)} = {written}")


@contextmanager
def one_line(what: str) -> Iterator[None]:
    """Turn what DuckDB says of outside data into one line that begins with `what`."""
    try:
        yield
    except duckdb.OutOfMemoryException:
        # No fault of the data: more memory helps.
        raise
    except duckdb.Error as error:
        lines = [line.strip() for line in str(error).splitlines() if not line.startswith("LINE ")]
        told = takewhile(lambda line: not line.startswith("Possible"), (line for line in lines if line.strip("^ ")))
        said = list(told)
        raise InputError(f"{what}: {'; '.join(said[:SHOWN_LINES])}") from None


def columns_of(connection: duckdb.DuckDBPyConnection, source: str) -> list[str]:
    """The column names of a table, view or table function, in its order."""
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
    """Make `view` of `source` with the columns `names`, each as text, and the column `kept`.

    Args:
        found_as: our column name: its name in the source. Those that are not there are NULL; empty text is NULL too.
        keep: names in the source that go into `kept`, a struct of texts (NULL when there are none).
    """
    projections = [
        f"nullif(CAST({quoted(found_as[name])} AS VARCHAR), '') AS {quoted(name)}"
        if name in found_as
        else f"NULL::VARCHAR AS {quoted(name)}"
        for name in names
    ]
    entries = ", ".join(f"{literal(name)}: nullif(CAST({quoted(name)} AS VARCHAR), '')" for name in keep)
    projections.append(f"{{{entries}}} AS kept" if keep else "NULL::VARCHAR AS kept")
    connection.execute(f"CREATE OR REPLACE TEMP VIEW {quoted(view)} AS SELECT {', '.join(projections)} FROM {source}")


def select_rows(connection: duckdb.DuckDBPyConnection, source: str, select: str | None, name: str) -> tuple[int, int]:
    """Make the view `selected`: the rows of `source` for which the SQL predicate `select` is true.

    Returns:
        How many rows the source has, and how many are selected.

    Raises:
        InputError: the predicate is no SQL, names an unknown column, or fails on a row.
    """
    if select is not None and ";" in select:
        raise InputError(f"source {name}: select: {select!r} is more than one expression; leave out the semicolon")
    condition = f"WHERE ({select}\n)" if select is not None else ""
    with one_line(f"source {name}: select: {select!r} does not work on the columns {_shown(connection, source)}"):
        connection.execute(f"CREATE OR REPLACE TEMP VIEW selected AS SELECT * FROM {source} {condition}")
        selected = count_rows(connection, "selected")
    return count_rows(connection, source), selected


def demand(file: Path, found: Sequence[str], needed: Sequence[str]) -> None:
    """Refuse a file without the columns that it needs.

    Raises:
        InputError: a column is missing.
    """
    if missing := [name for name in needed if name not in found]:
        raise InputError(f"{file}: no column {', '.join(missing)}; it has {', '.join(found)}")


def open_text(connection: duckdb.DuckDBPyConnection, file: Path, name: str, delimiter: str, quote: str = "") -> None:
    """Read a text table of a known form once, every value as text, into the table `name`, which spills to disk.

    Raises:
        InputError: it is missing, or no such table; a row that does not fit is named by its line.
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
    """Write contract records of a source whose columns a query gives by the names of `NAMED`.

    Args:
        settings: the source's part of the config; its `select` sees the query's columns.
        query: the source's rows; columns that it does not give are NULL.
        rows: how many rows the source has.
        images: the folder that relative values of `path` start from.
        left_out: rows that the query leaves out by reason.
        always_kept: columns that are kept whatever the config says.
        found_as: the query's names for those of `NAMED`, where they differ.
        decimal: the decimal mark of x, y, width and height.

    Raises:
        InputError: `select` or `keep` do not fit the source.
    """
    set_variable(connection, "source_name", settings.name)
    set_variable(connection, "decimal", decimal)
    set_variable(connection, "images", str(images.absolute()))
    run_sql(connection, HERE / "identity.sql")
    connection.execute(f"CREATE OR REPLACE TEMP VIEW offered AS {query}")
    found = columns_of(connection, "offered")
    keep = [*settings.keep, *(name for name in always_kept if name not in settings.keep)]
    demand(Path(f"source {settings.name}"), found, keep)
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
    """Write the view `described` as contract records, and what became of each row of the source.

    Args:
        name: the source's name.
        rows: how many rows the source has.
        selected: how many of them `described` has.
        keep: the names in its column `kept`, which become columns.
        left_out: rows that are not in `described` by reason; the others of them were not selected.

    Raises:
        InputError: a file of the source is damaged.
    """
    # The source's files are read to their ends only now.
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
    """How many rows a table or view has, or those of them that a WHERE behind it chooses."""
    return int(tables.scalar(connection, f"SELECT count(*) FROM {source}"))


def _shown(connection: duckdb.DuckDBPyConnection, source: str) -> str:
    return ", ".join(columns_of(connection, source))
