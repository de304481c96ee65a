"""Read photos sorted into one folder per species into contract records.

In: a folder with one folder per species, at any depth (`train/Pica_hudsonia/1.jpg`). Out: one row per image, whose
scientific_name comes from its folder's name, or from those of a genus folder and an epithet folder. Folders in a
species folder (individuals, places, views) name nothing.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pyarrow as pa

from workflow_scripts.catalog.records import count_rows, write_named
from workflow_scripts.common.accounts import count_by_reason
from workflow_scripts.common.class_folders import files_by_folder, is_image, is_text, organism_in_path
from workflow_scripts.common.cli import run
from workflow_scripts.common.config.catalog import Folders
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.tables import connect

BATCH_ROWS = 100_000
SCHEMA = pa.schema([(name, pa.string()) for name in ("path", "folder", "scientific_name", "left_out")])


def read_folders(*, images: Path, settings: Folders, out: Path, account: Path, memory_mb: int, threads: int) -> None:
    """Read folders of photos into contract records.

    Args:
        images: the folder with one folder per species.
        settings: the source's config section.
        out: output: the records (contract SOURCE_RECORDS).
        account: output: the account of rows.
        memory_mb: DuckDB's memory limit, MiB.
        threads: DuckDB's threads.

    Raises:
        InputError: the folder does not exist, or no folder in it contains images.
    """
    if not images.is_dir():
        raise InputError(f"{images}: no such folder")
    with connect(memory_mb, threads) as connection:
        connection.execute(
            "CREATE TEMP TABLE files (path VARCHAR, folder VARCHAR, scientific_name VARCHAR, left_out VARCHAR)"
        )
        for batch in _batches(images):
            connection.register("batch", batch)
            connection.execute("INSERT INTO files SELECT * FROM batch")
            connection.unregister("batch")
        counts = count_by_reason(connection, "files", "left_out")
        left_out = {reason: count for reason, count in counts.items() if reason is not None}
        rows = count_rows(connection, "files")
        if rows == sum(left_out.values()):
            raise InputError(
                f"{images}: no subfolder contains an image; give the folder that contains the species folders"
            )
        write_named(
            connection,
            settings=settings,
            query="SELECT * EXCLUDE (left_out) FROM files WHERE left_out IS NULL",
            rows=rows,
            out=out,
            account=account,
            images=images,
            left_out=left_out,
        )


def _batches(images: Path) -> Iterator[pa.Table]:
    rows = (_row(path, folder) for path, folder in files_by_folder(images))
    while batch := list(islice(rows, BATCH_ROWS)):
        yield pa.Table.from_pylist(batch, SCHEMA)


def _row(path: str, folder: str) -> dict[str, str | None]:
    if not is_text(path):
        return {"path": ascii(path), "folder": None, "scientific_name": None, "left_out": "name_not_utf8"}
    left_out = "not_an_image" if not is_image(path) else None if folder else "in_no_folder"
    return {"path": path, "folder": folder, "scientific_name": organism_in_path(path)[0], "left_out": left_out}


if __name__ == "__main__":
    run(read_folders)
