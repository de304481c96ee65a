"""Read and write tables between stages with DuckDB, in bounded memory, checked against their contracts."""

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

from workflow_scripts.common.errors import InputError, first_line
from workflow_scripts.common.files import atomic
from workflow_scripts.contracts import Column, Contract

# Share of a process's memory for DuckDB's buffers.
BUFFERS_SHARE = 0.75
ROW_GROUP_ROWS = 122_880
SHOWN_ROWS = 3


@contextmanager
def connect(
    memory_mb: int = 2048, threads: int = 1, database: Path | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB connection that spills to its own temporary folder when memory runs short.

    Args:
        memory_mb: memory limit of the process, MiB; DuckDB's own limit, which covers only its buffers, is lower.
        threads: number of threads; results do not depend on it.
        database: a database file; None: in memory.
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
    """A quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str | Path) -> str:
    """An SQL string literal."""
    return "'" + str(value).replace("'", "''") + "'"


def path_literal(path: Path | str) -> str:
    """An SQL string literal of a path, with glob characters escaped."""
    return literal(re.sub(r"[*?\[]", r"[\g<0>]", str(path)))


def one_row(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    """The row of a query that returns exactly one, such as an aggregate without groups."""
    # Fetch all rows, because DuckDB refuses other work on a connection while a result is open.
    rows = connection.execute(query).fetchall()
    if len(rows) != 1:
        raise ValueError(f"expected one row, found {len(rows)}: {query}")
    return tuple(rows[0])


def scalar(connection: duckdb.DuckDBPyConnection, query: str) -> Any:
    """The first value of `one_row`."""
    return one_row(connection, query)[0]


def count_rows(file: Path) -> int:
    """Number of rows of a parquet file, from its footer."""
    return int(pq.read_metadata(file).num_rows)


def scan(paths: Path | Sequence[Path]) -> str:
    """SQL table function that reads parquet files as one table.

    Raises:
        InputError: a file does not exist.
    """
    files = [paths] if isinstance(paths, Path) else list(paths)
    for file in files:
        if not file.is_file():
            raise InputError(f"{file}: missing")
    return f"read_parquet([{', '.join(path_literal(file) for file in files)}])"


def scan_named(paths: Path | Sequence[Path]) -> str:
    """Like `scan`, with a column `filename`."""
    return scan(paths).removesuffix(")") + ", filename = true)"


def read(
    connection: duckdb.DuckDBPyConnection,
    paths: Path | Sequence[Path],
    contract: Contract,
    name: str,
    only: str = "true",
) -> duckdb.DuckDBPyRelation:
    """Check parquet files against `contract`, and return them as the view `name`.

    No files give an empty view with the contract's columns.

    Args:
        connection: connection to create the view in.
        paths: the files.
        contract: contract of the rows.
        name: name of the view.
        only: SQL condition; other rows are neither checked nor in the view.

    Raises:
        InputError: a file is missing, unreadable, or violates the contract; the message names file, column and row.
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
            raise InputError(f"{file}: cannot be read as parquet: {first_line(error)}") from None
    connection.execute(f"CREATE OR REPLACE TEMP VIEW {quoted(name)} AS SELECT * FROM {scan(files)} WHERE {only}")
    return connection.view(name)


def write(
    connection: duckdb.DuckDBPyConnection,
    query: str,
    contract: Contract,
    path: Path,
    row_group_rows: int = ROW_GROUP_ROWS,
) -> int:
    """Write the rows of `query` as parquet, in the order of the contract's key, and check them.

    Columns are in the contract's order, then extra columns by name. The same rows give the same bytes.

    Returns:
        The number of rows.

    Raises:
        InputError: the rows violate the contract.
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
    with atomic(path) as temporary:
        connection.execute(
            f"COPY (SELECT {', '.join(selected)} FROM ({query}) ORDER BY {order}) TO {literal(temporary)} "
            f"(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {row_group_rows})"
        )
        _check(connection, scan(temporary), contract, str(path))
        return int(scalar(connection, f"SELECT count(*) FROM {scan(temporary)}"))


def write_row_groups(groups: Iterable[pa.Table], contract: Contract, path: Path) -> int:
    """Write each table as one row group, so that readers can read it alone.

    Uses pyarrow, because DuckDB rounds row groups to its vector size. One table at a time is in memory. The tables are
    in the order of the contract's key. Extra columns, if the contract allows them, are those of the first table.

    Returns:
        The number of rows.

    Raises:
        InputError: the rows violate the contract.
    """
    rows = 0
    with atomic(path) as temporary, connect() as connection:
        fields = _arrow_fields(connection, contract)
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
    """Write a list of rows; see `write`."""
    with connect() as connection:
        fields = _arrow_fields(connection, contract)
        known = {column.name for column in contract.columns}
        further = sorted({name for row in rows for name in row} - known)
        arrays = [pa.array([row.get(field.name) for row in rows], field.type) for field in fields]
        arrays += [pa.array([row.get(name) for row in rows]) for name in further]
        names = [field.name for field in fields] + further
        connection.register("given_rows", pa.table(arrays, names=names))
        return write(connection, "SELECT * FROM given_rows", contract, path)


def write_table(table: pa.Table, contract: Contract, path: Path) -> int:
    """Write an arrow table, with its extra columns if the contract allows them; see `write`."""
    with connect() as connection:
        fields = _arrow_fields(connection, contract)
        known = {field.name for field in fields}
        fields += [field for field in table.schema if contract.extra and field.name not in known]
        connection.register("given_rows", table.select([field.name for field in fields]).cast(pa.schema(fields)))
        return write(connection, "SELECT * FROM given_rows", contract, path)


def read_rows(paths: Path | Sequence[Path], contract: Contract) -> pa.Table:
    """Read files into memory, in the order of the contract's key."""
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
            raise InputError(f"{where}: column {column.name}: expected {column.type}, found {types[column.name]}")
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
                rows = connection.execute(f"SELECT {key} FROM {source} WHERE {condition} LIMIT {SHOWN_ROWS}").fetchall()
                shown = "; ".join(" ".join(str(value) for value in row) for row in rows)
                raise InputError(f"{where}: {complaint} in {count} rows, the first: {shown}")
    if _is_sorted(connection, source, contract):
        return
    key = ", ".join(quoted(name) for name in contract.key)
    repeated = connection.execute(f"SELECT {key} FROM {source} GROUP BY ALL HAVING count(*) > 1 LIMIT 1").fetchone()
    if repeated is not None:
        raise InputError(f"{where}: more than one row for {', '.join(contract.key)} = {' '.join(map(str, repeated))}")


def _is_sorted(connection: duckdb.DuckDBPyConnection, source: str, contract: Contract) -> bool:
    """Whether keys are strictly increasing, as in all files written here, and therefore unique.

    Takes one pass without memory, while grouping keeps all keys in memory.
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
    """An expression for a column that hides from DuckDB whether it has nulls.

    DuckDB writes columns as required or optional according to its statistics, which depend on the number of input
    files, so that the same rows could give different bytes.
    """
    return f"CASE WHEN {quoted(name)} IS NOT NULL THEN {quoted(name)} END"


def _tests(column: Column) -> Iterator[tuple[str, str]]:
    name = quoted(column.name)
    if not column.null:
        yield f"{column.name} is empty", f"{name} IS NULL"
    if column.values:
        allowed = ", ".join(literal(value) for value in column.values)
        yield f"{column.name} is not one of {', '.join(column.values)}", f"{name} NOT IN ({allowed})"


def _plain(type_name: str) -> str:
    return type_name.replace('"', "").replace(" ", "").upper()


def _arrow_fields(connection: duckdb.DuckDBPyConnection, contract: Contract) -> list[pa.Field]:
    columns = ", ".join(f"NULL::{column.type} AS {quoted(column.name)}" for column in contract.columns)
    return list(connection.sql(f"SELECT {columns} WHERE false").to_arrow_table().schema)
