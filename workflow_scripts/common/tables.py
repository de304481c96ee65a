"""Tables between stages: DuckDB within bounded memory, checked against their contracts on both sides."""

import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import whole
from workflow_scripts.contracts import Column, Contract

# Of a process's memory, what DuckDB may fill with buffers.
BUFFERS_SHARE = 0.75
ROW_GROUP_ROWS = 122_880
SHOWN_VALUES = 3


@contextmanager
def connect(
    memory_mb: int = 2048, threads: int = 1, database: Path | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB connection that spills to a folder of its own when memory runs short.

    Args:
        memory_mb: what the process may use, MiB; DuckDB's own limit, which covers its buffers only, is lower.
        threads: how many threads it may use; results do not depend on it.
        database: a database file, or None for one in memory.
    """
    with tempfile.TemporaryDirectory(prefix="duckdb-") as spill:
        connection = duckdb.connect(str(database or ":memory:"))
        try:
            connection.execute(f"SET memory_limit = '{int(memory_mb * BUFFERS_SHARE)}MiB'")
            connection.execute(f"SET threads = {int(threads)}")
            connection.execute(f"SET temp_directory = '{spill}'")
            connection.execute("SET preserve_insertion_order = false")
            connection.execute("SET TimeZone = 'UTC'")
            yield connection
        finally:
            connection.close()


def quoted(name: str) -> str:
    """An SQL identifier, quoted."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str | Path) -> str:
    """An SQL string literal."""
    return "'" + str(value).replace("'", "''") + "'"


def path_literal(path: Path | str) -> str:
    """An SQL string literal of a path that DuckDB is to read as it is, not as a pattern."""
    return literal(re.sub(r"[*?\[]", r"[\g<0>]", str(path)))


def one_row(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    """The row of a query that always gives exactly one, such as an aggregate without groups."""
    # Fetched to the end: DuckDB refuses other work on a connection while a result is open.
    rows = connection.execute(query).fetchall()
    if len(rows) != 1:
        raise ValueError(f"{len(rows)} rows, not one: {query}")
    return tuple(rows[0])


def scalar(connection: duckdb.DuckDBPyConnection, query: str) -> Any:
    """The first value of `one_row`."""
    return one_row(connection, query)[0]


def count_rows(file: Path) -> int:
    """How many rows a parquet file has, by its footer."""
    return int(pq.read_metadata(file).num_rows)


def scan(paths: Path | Sequence[Path]) -> str:
    """The SQL table function that reads parquet files as one table."""
    files = [paths] if isinstance(paths, Path) else list(paths)
    for file in files:
        if not file.is_file():
            raise InputError(f"{file}: missing")
    return f"read_parquet([{', '.join(path_literal(file) for file in files)}])"


def scan_named(paths: Path | Sequence[Path]) -> str:
    """As `scan`, with the column `filename`: which file a row is from."""
    return scan(paths).removesuffix(")") + ", filename = true)"


def read(
    connection: duckdb.DuckDBPyConnection,
    paths: Path | Sequence[Path],
    contract: Contract,
    name: str,
    only: str = "true",
) -> duckdb.DuckDBPyRelation:
    """Check parquet files against `contract`, name them as the view `name`, and return it.

    No files at all give an empty table with the contract's columns.

    Args:
        connection: where the view is made.
        paths: the files.
        contract: what their rows are.
        name: the view's name.
        only: an SQL condition: other rows are not in the view, and nobody looks at them.

    Raises:
        InputError: a file is missing or unreadable, or breaks the contract; the message names file, column and row.
    """
    files = [paths] if isinstance(paths, Path) else list(paths)
    if not files:
        columns = ", ".join(f"NULL::{column.type} AS {quoted(column.name)}" for column in contract.columns)
        connection.execute(f"CREATE OR REPLACE TEMP VIEW {quoted(name)} AS SELECT {columns} WHERE false")
        return connection.view(name)
    for file in files:
        source = scan(file)
        try:
            _check(connection, source, contract, str(file), only)
        except duckdb.Error as error:
            raise InputError(f"{file}: cannot be read as parquet: {_first_line(error)}") from None
    connection.execute(f"CREATE OR REPLACE TEMP VIEW {quoted(name)} AS SELECT * FROM {scan(files)} WHERE {only}")
    return connection.view(name)


def write(
    connection: duckdb.DuckDBPyConnection,
    query: str,
    contract: Contract,
    path: Path,
    row_group_rows: int = ROW_GROUP_ROWS,
) -> int:
    """Write the rows of `query` as parquet, in the order of the contract's key, after checking them.

    Column order is the contract's, extra columns behind it by name; the same rows give the same bytes.

    Returns:
        The number of rows.

    Raises:
        InputError: the rows break the contract.
    """
    described = connection.execute(f"DESCRIBE ({query})").fetchall()
    types = {row[0]: row[1] for row in described}
    wanted = [column.name for column in contract.columns]
    extra = sorted(set(types) - set(wanted)) if contract.extra else []
    if missing := [name for name in wanted if name not in types]:
        raise InputError(f"{path}: cannot write {contract.name}: no column {', '.join(missing)}")
    selected = [
        f"CAST({_opaque(column.name)} AS {column.type}) AS {quoted(column.name)}" for column in contract.columns
    ]
    selected += [f"{_opaque(name)} AS {quoted(name)}" for name in extra]
    order = ", ".join(quoted(name) for name in contract.key)
    with whole(path) as temporary:
        connection.execute(
            f"COPY (SELECT {', '.join(selected)} FROM ({query}) ORDER BY {order}) TO {literal(temporary)} "
            f"(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {row_group_rows})"
        )
        _check(connection, scan(temporary), contract, str(path))
        return int(scalar(connection, f"SELECT count(*) FROM {scan(temporary)}"))


def write_row_groups(groups: Iterable[pa.Table], contract: Contract, path: Path) -> int:
    """Write tables, in the order of the contract's key, as one row group each, so that a reader can take one alone.

    DuckDB rounds row groups to its own vectors; pyarrow does not. One table at a time is held. The first one says what
    extra columns there are, where the contract allows any.

    Returns:
        The number of rows.

    Raises:
        InputError: the rows break the contract.
    """
    rows = 0
    with whole(path) as temporary, connect() as connection:
        fields = [pa.field(column.name, _arrow_type(connection, column)) for column in contract.columns]
        groups = iter(groups)
        first = next(groups, None)
        if first is not None:
            known = {field.name for field in fields}
            further = [field for field in first.schema if contract.extra and field.name not in known]
            fields += sorted(further, key=lambda field: field.name)
            groups = chain([first], groups)
        schema = pa.schema(fields)
        with pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
            for group in groups:
                if group.num_rows:
                    writer.write_table(group.select(schema.names).cast(schema), row_group_size=group.num_rows)
                    rows += group.num_rows
        _check(connection, scan(temporary), contract, str(path))
    return rows


def write_rows(rows: Sequence[dict[str, Any]], contract: Contract, path: Path) -> int:
    """Write a list of rows that fits in memory; see `write`."""
    with connect() as connection:
        fields = [pa.field(column.name, _arrow_type(connection, column)) for column in contract.columns]
        known = {column.name for column in contract.columns}
        further = sorted({name for row in rows for name in row} - known)
        arrays = [pa.array([row.get(field.name) for row in rows], field.type) for field in fields]
        arrays += [pa.array([row.get(name) for row in rows]) for name in further]
        names = [field.name for field in fields] + further
        connection.register("given_rows", pa.table(arrays, names=names))
        return write(connection, "SELECT * FROM given_rows", contract, path)


def write_table(table: pa.Table, contract: Contract, path: Path) -> int:
    """Write an arrow table with the contract's columns, and the others where the contract allows any; see `write`."""
    with connect() as connection:
        fields = [pa.field(column.name, _arrow_type(connection, column)) for column in contract.columns]
        known = {field.name for field in fields}
        fields += [field for field in table.schema if contract.extra and field.name not in known]
        connection.register("given_rows", table.select([field.name for field in fields]).cast(pa.schema(fields)))
        return write(connection, "SELECT * FROM given_rows", contract, path)


def read_rows(paths: Path | Sequence[Path], contract: Contract) -> pa.Table:
    """Read files whole, in the order of the contract's key. For tables that are known to fit in memory."""
    with connect(memory_mb=4096) as connection:
        read(connection, paths, contract, "read_rows")
        order = ", ".join(quoted(name) for name in contract.key)
        return connection.sql(f"SELECT * FROM read_rows ORDER BY {order}").to_arrow_table()


def _check(
    connection: duckdb.DuckDBPyConnection, source: str, contract: Contract, where: str, only: str = "true"
) -> None:
    types = {row[0]: row[1] for row in connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()}
    for column in contract.columns:
        if column.name not in types:
            raise InputError(f"{where}: no column {column.name} (a row is {contract.name})")
        if _plain(types[column.name]) != _plain(column.type):
            raise InputError(f"{where}: column {column.name} is {types[column.name]}, not {column.type}")
    if not contract.extra and (unknown := sorted(set(types) - {column.name for column in contract.columns})):
        raise InputError(f"{where}: unknown column {', '.join(unknown)} (a row is {contract.name})")
    source = f"(SELECT * FROM {source} WHERE {only})"
    tests = [test for column in contract.columns for test in _tests(column)]
    if tests:
        sums = ", ".join(f"count(*) FILTER ({condition})" for _, condition in tests)
        counts = one_row(connection, f"SELECT {sums} FROM {source}")
        for (complaint, condition), count in zip(tests, counts, strict=True):
            if count:
                key = ", ".join(quoted(name) for name in contract.key)
                rows = connection.execute(
                    f"SELECT {key} FROM {source} WHERE {condition} LIMIT {SHOWN_VALUES}"
                ).fetchall()
                shown = "; ".join(" ".join(str(value) for value in row) for row in rows)
                raise InputError(f"{where}: {complaint} in {count} rows, the first: {shown}")
    if _rises(connection, source, contract):
        return
    key = ", ".join(quoted(name) for name in contract.key)
    twice = connection.execute(f"SELECT {key} FROM {source} GROUP BY ALL HAVING count(*) > 1 LIMIT 1").fetchone()
    if twice is not None:
        raise InputError(f"{where}: more than one row for {', '.join(contract.key)} = {' '.join(map(str, twice))}")


def _rises(connection: duckdb.DuckDBPyConnection, source: str, contract: Contract) -> bool:
    """Whether each row's key is above the one before, as in every file that was written here: then it is unique.

    One pass that holds nothing, where grouping holds every key.
    """
    key = ", ".join(quoted(name) for name in contract.key)
    before = ", ".join(f"lag({quoted(name)}) OVER ()" for name in contract.key)
    connection.execute("SET preserve_insertion_order = true")
    try:
        falls = connection.execute(
            f"SELECT 1 FROM (SELECT row({key}) AS here, row({before}) AS before, row_number() OVER () AS number "
            f"FROM {source}) WHERE number > 1 AND here <= before LIMIT 1"
        ).fetchone()
    finally:
        connection.execute("SET preserve_insertion_order = false")
    return falls is None


def _opaque(name: str) -> str:
    """The column, as an expression of which DuckDB cannot know that it is never null.

    DuckDB writes a column as required or optional by the statistics at hand, which depend on how many files the rows
    came from: the same rows would give other bytes.
    """
    return f"CASE WHEN {quoted(name)} IS NOT NULL THEN {quoted(name)} END"


def _tests(column: Column) -> Iterator[tuple[str, str]]:
    name = quoted(column.name)
    if not column.null:
        yield f"{column.name} is empty", f"{name} IS NULL"
    if column.values:
        allowed = ", ".join(literal(value) for value in column.values)
        yield f"{column.name} is none of {', '.join(column.values)}", f"{name} NOT IN ({allowed})"


def _plain(type_name: str) -> str:
    return type_name.replace('"', "").replace(" ", "").upper()


def _arrow_type(connection: duckdb.DuckDBPyConnection, column: Column) -> pa.DataType:
    return connection.sql(f"SELECT NULL::{column.type} AS c").to_arrow_table().schema.field("c").type


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
