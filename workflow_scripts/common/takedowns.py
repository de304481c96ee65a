"""Read the images to take down, and find them in tables.

`curate.takedown` writes a table of contract LEDGER and runs `python -m workflow_scripts.<stage>.forget` of each stage
that stores images. Interrupted runs can be repeated.
"""

from collections.abc import Set
from pathlib import Path

import duckdb
import pyarrow as pa

from workflow_scripts.common import tables
from workflow_scripts.contracts import LEDGER


def read_taken_down(path: Path) -> frozenset[str]:
    """The uuids in a table of contract LEDGER."""
    return frozenset(tables.read_rows(path, LEDGER)["uuid"].to_pylist())


def register(connection: duckdb.DuckDBPyConnection, uuids: Set[str]) -> None:
    """Create the table `taken_down` with these uuids."""
    connection.register("taken_down", pa.table({"uuid": pa.array(sorted(uuids), pa.string())}))


def names_any(file: Path, uuids: Set[str], condition: str = "true") -> bool:
    """Whether a parquet file has a row with one of the uuids that satisfies an SQL condition."""
    with tables.connect() as connection:
        register(connection, uuids)
        query = f"SELECT 1 FROM {tables.scan(file)} SEMI JOIN taken_down USING (uuid) WHERE {condition} LIMIT 1"
        return connection.execute(query).fetchone() is not None
