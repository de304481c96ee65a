"""Images that were taken down: the table that tells stages about them, and how they find them.

`curate.takedown` writes them as a table of contract LEDGER and runs `python -m workflow_scripts.<stage>.forget` of
every stage that holds images. Each of these may run again after it was interrupted.
"""

from collections.abc import Set
from pathlib import Path

import duckdb
import pyarrow as pa

from workflow_scripts.common import tables
from workflow_scripts.contracts import LEDGER


def read_taken_down(path: Path) -> frozenset[str]:
    """The uuids of a table of contract LEDGER."""
    return frozenset(tables.read_rows(path, LEDGER)["uuid"].to_pylist())


def register(connection: duckdb.DuckDBPyConnection, uuids: Set[str]) -> None:
    """Make the table `taken_down` of these uuids."""
    connection.register("taken_down", pa.table({"uuid": pa.array(sorted(uuids), pa.string())}))


def names_any(file: Path, uuids: Set[str], condition: str = "true") -> bool:
    """Whether a parquet file has a row of one of the uuids for which an SQL condition holds."""
    with tables.connect() as connection:
        register(connection, uuids)
        query = f"SELECT 1 FROM {tables.scan(file)} SEMI JOIN taken_down USING (uuid) WHERE {condition} LIMIT 1"
        return connection.execute(query).fetchone() is not None
