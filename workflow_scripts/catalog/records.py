"""From a source's columns to contract records: what the readers have in common."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb

from workflow_scripts.common import tables
from workflow_scripts.common.accounts import Account, write_account
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.tables import literal, quoted
from workflow_scripts.contracts import SOURCE_RECORDS

HERE = Path(__file__).parent
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
    except duckdb.Error as error:
        lines = [line.strip() for line in str(error).splitlines() if not line.startswith("LINE ")]
        said = [line for line in lines if line.strip("^ ")]
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
) -> None:
    """Make `view` of `source` with the columns `names`, each as text.

    Args:
        found_as: our column name: its name in the source. Those that are not there are NULL; empty text is NULL too.
    """
    projections = [
        f"nullif(CAST({quoted(found_as[name])} AS VARCHAR), '') AS {quoted(name)}"
        if name in found_as
        else f"NULL::VARCHAR AS {quoted(name)}"
        for name in names
    ]
    connection.execute(f"CREATE OR REPLACE TEMP VIEW {quoted(view)} AS SELECT {', '.join(projections)} FROM {source}")


def select_rows(connection: duckdb.DuckDBPyConnection, source: str, select: str | None, name: str) -> tuple[int, int]:
    """Make the view `selected`: the rows of `source` for which the SQL predicate `select` is true.

    Returns:
        How many rows the source has, and how many are selected.

    Raises:
        InputError: the predicate is no SQL, names an unknown column, or fails on a row.
    """
    condition = f"WHERE ({select}\n)" if select is not None else ""
    with one_line(f"source {name}: select: {select!r} does not work on the columns {_shown(connection, source)}"):
        connection.execute(f"CREATE OR REPLACE TEMP VIEW selected AS SELECT * FROM {source} {condition}")
        selected = _count(connection, "selected")
    return _count(connection, source), selected


def write_records(
    connection: duckdb.DuckDBPyConnection, *, name: str, rows: int, selected: int, out: Path, account: Path
) -> None:
    """Write the view `described` as contract records, and what became of each row of the source.

    Args:
        name: the source's name.
        rows: how many rows the source has.
        selected: how many of them `described` has.
    """
    run_sql(connection, HERE / "licences.sql", HERE / "records.sql")
    problems = connection.execute(
        "SELECT problem, count(*) FROM judged WHERE problem IS NOT NULL GROUP BY problem ORDER BY problem"
    ).fetchall()
    kept = tables.write(connection, "SELECT * FROM records", SOURCE_RECORDS, out)
    dropped = {str(problem): int(count) for problem, count in problems}
    dropped["not_selected"] = rows - selected
    dropped["repeated"] = selected - kept - sum(count for _, count in problems)
    write_account(
        account,
        Account(
            stage="catalog",
            part=name,
            unit="images",
            rows_in=rows,
            kept=kept,
            dropped={reason: count for reason, count in dropped.items() if count},
        ),
    )


def _count(connection: duckdb.DuckDBPyConnection, source: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {source}").fetchone()
    assert row is not None
    return int(row[0])


def _shown(connection: duckdb.DuckDBPyConnection, source: str) -> str:
    return ", ".join(columns_of(connection, source))
