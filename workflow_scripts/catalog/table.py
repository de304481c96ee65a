"""Read anybody's table of images (CSV, TSV or parquet) into contract records.

In: a table with `url` or `path` and at least one column that names the organism. Out: one row an image; its uuid comes
from the source's name, `source_id`, the URL or path as the table writes it, and the crop, never from labels.
"""

from collections.abc import Sequence
from pathlib import Path

import duckdb

from workflow_scripts.catalog.records import NAMED, columns_of, count_rows, one_line, open_text, write_named
from workflow_scripts.common.cli import run
from workflow_scripts.common.config.catalog import Table
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.tables import connect, scan
from workflow_scripts.contracts import RANKS

PLACES = ("url", "path")
NAMES = (*RANKS, "scientific_name")
OTHER_SPELLINGS = {"class": "cls", "common": "common_name", "basisOfRecord": "basis_of_record", "url": "source_url"}
SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
PARQUET = (".parquet", ".pq")


def read_table(*, table: Path, settings: Table, out: Path, account: Path, memory_mb: int, threads: int) -> None:
    """Read a table of images into contract records.

    Args:
        table: the table: .csv, .tsv (also with .gz) or .parquet.
        settings: the source's part of the config.
        out: where the records go (contract SOURCE_RECORDS).
        account: where the account of rows goes.
        memory_mb: DuckDB's memory limit, MiB.
        threads: DuckDB's threads.

    Raises:
        InputError: the file is unreadable or lacks needed columns, or `columns` or `select` do not fit it.
    """
    with connect(memory_mb, threads) as connection:
        source = _open(connection, table)
        write_named(
            connection,
            settings=settings,
            query=f"SELECT * FROM {source}",
            rows=count_rows(connection, source),
            out=out,
            account=account,
            images=Path(settings.images) if settings.images is not None else table.parent,
            found_as=_match_columns(table, columns_of(connection, source), settings),
        )


def _open(connection: duckdb.DuckDBPyConnection, table: Path) -> str:
    """Something to select from; a CSV is read once, everything as text, into a table that spills to disk."""
    suffix = next((part.lower() for part in reversed(table.suffixes) if part.lower() != ".gz"), "")
    if suffix in PARQUET:
        source = scan(table)
        with one_line(f"{table}: cannot be read as parquet"):
            columns_of(connection, source)
        return source
    if suffix not in SEPARATORS:
        raise InputError(f"{table}: a table is a .csv, .tsv or .parquet file")
    open_text(connection, table, "given", SEPARATORS[suffix], quote='"')
    return "given"


def _match_columns(table: Path, found: Sequence[str], settings: Table) -> dict[str, str]:
    """Our column name: its name in the table. The config's mapping comes first, capitals do not matter."""
    by_lower = {name.lower(): name for name in found}
    has = f"it has {', '.join(found)}"
    found_as = {name: by_lower[name.lower()] for name in NAMED if name.lower() in by_lower}
    for name, other in OTHER_SPELLINGS.items():
        if name not in found_as and other in by_lower:
            found_as[name] = by_lower[other]
    for name, other in settings.columns.items():
        if name not in NAMED:
            raise InputError(f"source {settings.name}: columns: {name} is none of {', '.join(NAMED)}")
        if other.lower() not in by_lower:
            raise InputError(f"{table}: no column {other} (the config's name for {name}); {has}")
        found_as[name] = by_lower[other.lower()]
    if not any(name in found_as for name in PLACES):
        raise InputError(f"{table}: no column url or path; {has}; name it in the source's `columns`")
    if not any(name in found_as for name in NAMES):
        raise InputError(f"{table}: no column {', '.join(NAMES)}; {has}; name one in the source's `columns`")
    return found_as


if __name__ == "__main__":
    run(read_table)
