"""Small inputs of the catalog stage."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from workflow_scripts.catalog.table import read_table
from workflow_scripts.common.config.catalog import Table

ReadTable = Callable[..., tuple[list[dict[str, Any]], dict[str, Any]]]


def rows_of(path: Path) -> list[dict[str, Any]]:
    """A parquet file's rows, in its order."""
    return pq.read_table(path).to_pylist()


@pytest.fixture
def parquet(tmp_path: Path) -> Callable[..., Path]:
    """Write rows as parquet."""

    def write(name: str, rows: list[dict[str, Any]]) -> Path:
        path = tmp_path / name
        pq.write_table(pa.Table.from_pylist(rows), path)
        return path

    return write


@pytest.fixture
def read(tmp_path: Path) -> ReadTable:
    """Run the table reader on text; returns records and account."""

    def run(text: str, name: str = "images.csv", **settings: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        folder = Path(settings.pop("folder", tmp_path))
        folder.mkdir(exist_ok=True)
        table = folder / name
        table.write_text(text, encoding="utf-8")
        out, account = tmp_path / "records.parquet", tmp_path / "account.json"
        read_table(
            table=table,
            settings=Table(**({"name": "mine", "reader": "table", "table": str(table)} | settings)),
            out=out,
            account=account,
            memory_mb=500,
            threads=settings.get("threads", 1),
        )
        return rows_of(out), json.loads(account.read_text())

    return run


@pytest.fixture
def sql() -> Callable[[str], Any]:
    """Evaluate an SQL expression that uses the stage's macros."""
    connection = duckdb.connect()
    folder = Path(__file__).parents[2] / "workflow_scripts" / "catalog"
    connection.execute((folder / "identity.sql").read_text(encoding="utf-8"))

    def value(expression: str, *parameters: Any) -> Any:
        row = connection.execute(f"SELECT {expression}", list(parameters)).fetchone()
        assert row is not None
        return row[0]

    return value
