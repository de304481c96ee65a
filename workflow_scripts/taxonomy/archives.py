"""Checklists as they are published: tab-separated files in a folder or zip, nothing quoted, everything text."""

import shutil
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import duckdb

from workflow_scripts.common.errors import InputError
from workflow_scripts.common.tables import literal, quoted

HERE = Path(__file__).parent


@dataclass(frozen=True)
class File:
    """A file of an archive.

    Attributes:
        name: its name.
        table: the table that it is loaded as.
        needed: columns without which it cannot be read.
        others: further columns that are read where it has them, NULL where not.
    """

    name: str
    table: str
    needed: tuple[str, ...]
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Format:
    """A format of checklists.

    Attributes:
        title: what a person calls it.
        taxa: the file of taxa and names.
        vernaculars: the file of common names, which an archive need not have.
        script: the SQL that brings the two tables into Darwin Core's terms, where they are not.
    """

    title: str
    taxa: File
    vernaculars: File
    script: str | None = None


FLAT_RANKS = ("kingdom", "phylum", "class", "order", "family", "genus")
FORMATS = {
    "dwca": Format(
        "a Darwin Core Archive",
        File(
            "Taxon.tsv",
            "taxon_rows",
            ("taxonID", "parentNameUsageID", "acceptedNameUsageID", "scientificName", "taxonRank", "taxonomicStatus"),
            ("canonicalName", "scientificNameAuthorship", *FLAT_RANKS),
        ),
        File("VernacularName.tsv", "vernacular_rows", ("taxonID", "vernacularName", "language")),
    ),
    "coldp": Format(
        "a ColDP archive",
        File(
            "NameUsage.tsv",
            "usage_rows",
            ("ID", "parentID", "status", "scientificName", "rank"),
            ("authorship", *FLAT_RANKS),
        ),
        File("VernacularName.tsv", "common_rows", ("taxonID", "name", "language")),
        "coldp.sql",
    ),
}


def load_archive(connection: duckdb.DuckDBPyConnection, reader: str, archive: Path, folder: Path) -> None:
    """Load an archive as the tables `taxon_rows` and `vernacular_rows`, columns by their Darwin Core names.

    Args:
        connection: where to.
        reader: the format's name in `FORMATS`.
        archive: a folder or zip.
        folder: where files out of a zip are copied.

    Raises:
        InputError: a file or column is missing, or a line cannot be read.
    """
    form = FORMATS[reader]
    taxa = _find(archive, form.taxa.name, folder)
    if taxa is None:
        raise InputError(f"{archive}: no {form.taxa.name} in it; give the folder or zip of {form.title}")
    _load(connection, taxa, form.taxa)
    _load(connection, _find(archive, form.vernaculars.name, folder), form.vernaculars)
    if form.script:
        connection.execute((HERE / form.script).read_text(encoding="utf-8"))


def _find(archive: Path, name: str, folder: Path) -> Path | None:
    """The archive's file `name`, at its top or in a folder of it; out of a zip it is copied into `folder`."""
    if archive.is_dir():
        return next(iter(sorted(archive.rglob(name), key=lambda path: (len(path.parts), path))), None)
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [member for member in opened.namelist() if PurePosixPath(member).name == name]
            if not members:
                return None
            copy = folder / name
            highest = min(members, key=lambda member: (member.count("/"), member))
            with opened.open(highest) as source, copy.open("wb") as target:
                shutil.copyfileobj(source, target)
            return copy
    except FileNotFoundError:
        raise InputError(f"{archive}: missing; give the folder or zip of a checklist") from None
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{archive}: cannot be read as a zip: {error}") from None


def _load(connection: duckdb.DuckDBPyConnection, path: Path | None, file: File) -> None:
    """Load a file, or an empty table in its place."""
    wanted = file.needed + file.others
    if path is None:
        connection.execute(
            f"CREATE TEMP TABLE {file.table} ({', '.join(f'{quoted(name)} VARCHAR' for name in wanted)})"
        )
        return
    source = (
        f"read_csv({literal(path)}, delim = '\t', quote = '', escape = '', header = true, all_varchar = true, "
        "nullstr = '')"
    )
    with _readable(path):
        header = [str(row[0]) for row in connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()]
        # Some write the vocabulary in front: "dwc:taxonID", "col:ID".
        found = {name.rpartition(":")[2]: name for name in reversed(header)}
        if missing := [name for name in file.needed if name not in found]:
            raise InputError(f"{path}: no column {', '.join(missing)}; it has {', '.join(header)}")
        connection.execute(f"CREATE TEMP TABLE {file.table} AS SELECT {_columns(wanted, found)} FROM {source}")


def _columns(wanted: Sequence[str], found: dict[str, str]) -> str:
    return ", ".join(
        f"nullif(trim({quoted(found[name])}), '') AS {quoted(name)}"
        if name in found
        else f"NULL::VARCHAR AS {quoted(name)}"
        for name in wanted
    )


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except duckdb.InvalidInputException as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise InputError(f"{path}: cannot be read as tab-separated text: {'; '.join(lines[:3])}") from None
