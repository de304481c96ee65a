"""Build a backbone: a published checklist as a DuckDB file that names are resolved against.

In: a folder or zip, either a Darwin Core Archive (`Taxon.tsv`: GBIF Backbone and its like) or a ColDP archive
(`NameUsage.tsv`: Catalogue of Life and its eXtended Release), with `VernacularName.tsv` where there is one. Out: the
tables `names`, `taxa` and `vernaculars`, ids with the backbone's name in front; and a summary of what was counted,
dangling and circular.
"""

import tempfile
from pathlib import Path
from typing import Literal

import duckdb

from workflow_scripts.common.cli import run
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import whole, write_json
from workflow_scripts.common.tables import connect, literal, one_row
from workflow_scripts.taxonomy.archives import load_archive

HERE = Path(__file__).parent


def build_backbone(
    *,
    name: str,
    archive: Path,
    out: Path,
    summary: Path,
    memory_mb: int,
    threads: int,
    reader: Literal["dwca", "coldp"] = "dwca",
) -> None:
    """Build a backbone from a published checklist.

    Args:
        name: the backbone's name; its ids begin with it.
        archive: a folder or zip.
        out: the DuckDB file to write.
        summary: where the counts go, as JSON.
        memory_mb: DuckDB's memory limit, MiB.
        threads: DuckDB's threads.
        reader: the archive's format, Darwin Core or ColDP.

    Raises:
        InputError: a file or column is missing, or a line cannot be read.
    """
    with (
        tempfile.TemporaryDirectory(prefix="backbone-") as folder,
        whole(out) as temporary,
        connect(memory_mb, threads, temporary) as connection,
    ):
        load_archive(connection, reader, archive, Path(folder))
        connection.execute(f"SET VARIABLE backbone = {literal(name)}")
        connection.execute((HERE / "names.sql").read_text(encoding="utf-8"))
        connection.execute((HERE / "backbone.sql").read_text(encoding="utf-8"))
        counts = _only_row(connection, "counts")
        if not counts["taxa"]:
            raise InputError(f"{archive}: no taxon in it")
        write_json(summary, {"backbone": name, **counts})


def _only_row(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, int]:
    names = [row[0] for row in connection.execute(f"DESCRIBE {table}").fetchall()]
    return dict(zip(names, one_row(connection, f"SELECT * FROM {table}"), strict=True))


if __name__ == "__main__":
    run(build_backbone)
