"""Read a GBIF download (Darwin Core Archive: occurrence.txt and multimedia.txt) into contract records.

In: the archive's zip or folder. Out: one row an image; the download's DOI stands in the column source_doi, the taxon
that GBIF takes the record for in taxon_key.
"""

import re
import shutil
import tempfile
import zipfile
from pathlib import Path

import duckdb

from workflow_scripts.catalog.records import (
    HERE,
    columns_of,
    count_rows,
    demand,
    open_text,
    run_sql,
    set_variable,
    write_named,
)
from workflow_scripts.common.cli import run
from workflow_scripts.common.config.catalog import Gbif
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.tables import connect, quoted

OCCURRENCE, MULTIMEDIA, ABOUT = "occurrence.txt", "multimedia.txt", "metadata.xml"
# Columns that gbif.sql names; those that a download happens not to have are empty.
COLUMNS = {
    OCCURRENCE: (
        *("kingdom", "phylum", "class", "order", "family", "genus", "species", "specificEpithet", "scientificName"),
        *("vernacularName", "datasetKey", "basisOfRecord", "institutionCode", "license", "rightsHolder"),
        *("publisher", "creator", "title", "type", "format", "identifier", "taxonKey"),
    ),
    MULTIMEDIA: ("type", "format", "identifier", "title", "creator", "publisher", "license", "rightsHolder"),
}
DOI = re.compile(r"10\.\d{4,9}/[^\s<>\"]+")


def read_gbif(*, archive: Path, settings: Gbif, out: Path, account: Path, memory_mb: int, threads: int) -> None:
    """Read a GBIF download into contract records.

    Args:
        archive: the download's zip, or the folder that it was unpacked to.
        settings: the source's part of the config.
        out: where the records go (contract SOURCE_RECORDS).
        account: where the account of rows goes.
        memory_mb: DuckDB's memory limit, MiB.
        threads: DuckDB's threads.

    Raises:
        InputError: the archive is unreadable or lacks a file or column, or `select` or `keep` do not fit it.
    """
    with tempfile.TemporaryDirectory(prefix="gbif-") as unpacked, connect(memory_mb, threads) as connection:
        folder = _unpack(archive, Path(unpacked))
        for name, columns in COLUMNS.items():
            _open(connection, folder / name, columns)
        set_variable(connection, "doi", settings.doi or _doi(folder / ABOUT))
        set_variable(connection, "taxon_keys", settings.taxon_keys)
        run_sql(connection, HERE / "gbif.sql")
        left_out = dict(
            connection.execute(
                "SELECT left_out, count(*) FROM joined WHERE left_out IS NOT NULL GROUP BY left_out ORDER BY left_out"
            ).fetchall()
        )
        write_named(
            connection,
            settings=settings,
            query="SELECT * EXCLUDE (left_out) FROM joined WHERE left_out IS NULL",
            rows=count_rows(connection, "multimedia"),
            out=out,
            account=account,
            left_out=left_out,
            always_kept=("source_doi", "taxon_key"),
        )


def _unpack(archive: Path, folder: Path) -> Path:
    """The archive's folder: its own, or the files that are needed, unpacked."""
    if archive.is_dir():
        return archive
    try:
        with zipfile.ZipFile(archive) as opened:
            for name in (OCCURRENCE, MULTIMEDIA, ABOUT):
                if name in opened.namelist():
                    # By our own name: what the archive calls a path is never trusted.
                    with opened.open(name) as packed, (folder / name).open("wb") as plain:
                        shutil.copyfileobj(packed, plain, 2**20)
                elif name != ABOUT:
                    raise InputError(f"{archive}: no {name}; a GBIF download as Darwin Core Archive has one")
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{archive}: no Darwin Core Archive: {error}") from None
    return folder


def _open(connection: duckdb.DuckDBPyConnection, file: Path, columns: tuple[str, ...]) -> None:
    open_text(connection, file, file.stem, "\t")
    found = columns_of(connection, file.stem)
    demand(file, found, ("gbifID",))
    for name in columns:
        if name not in found:
            connection.execute(f"ALTER TABLE {file.stem} ADD COLUMN {quoted(name)} VARCHAR")


def _doi(about: Path) -> str:
    """The DOI in the archive's own description, or ""."""
    if not about.is_file():
        return ""
    found = DOI.search(about.read_text(encoding="utf-8", errors="replace"))
    return found.group(0) if found else ""


if __name__ == "__main__":
    run(read_gbif)
