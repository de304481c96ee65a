"""Read a table of images (delimited text, Excel or parquet) into contract records.

In: a table with `url` or `path` and at least one column that names the organism. Out: one row per image; its uuid is a
hash of the source's name, `source_id`, the URL or path as written in the table, and the crop, never of labels.
"""

import tempfile
from pathlib import Path

from workflow_scripts.catalog.records import columns_of, count_rows, write_named
from workflow_scripts.common.cli import run
from workflow_scripts.common.config.catalog import Table
from workflow_scripts.common.table_columns import match_columns
from workflow_scripts.common.table_files import open_table
from workflow_scripts.common.tables import connect


def read_table(*, table: Path, settings: Table, out: Path, account: Path, memory_mb: int, threads: int) -> None:
    """Read a table of images into contract records.

    Args:
        table: delimited text (optionally .gz), an Excel workbook, or parquet.
        settings: the source's config section.
        out: output: the records (contract SOURCE_RECORDS).
        account: output: the account of rows.
        memory_mb: DuckDB's memory limit, MiB.
        threads: DuckDB's threads.

    Raises:
        InputError: the file cannot be read or lacks a column, or `columns`, `select` or `keep` names a missing column.
    """
    with tempfile.TemporaryDirectory(prefix="table-") as scratch, connect(memory_mb, threads) as connection:
        source = open_table(
            connection,
            table,
            "given",
            Path(scratch),
            delimiter=settings.delimiter,
            encoding=settings.encoding,
            sheet=settings.sheet,
        )
        write_named(
            connection,
            settings=settings,
            query=f"SELECT * FROM {source}",
            rows=count_rows(connection, source),
            out=out,
            account=account,
            images=Path(settings.images) if settings.images is not None else table.parent,
            found_as=match_columns(columns_of(connection, source), settings.columns, str(table)),
            decimal=settings.decimal,
        )


if __name__ == "__main__":
    run(read_table)
