"""Read archives of delimited text: files in a folder or zip, or a single file.

`Archive` lists and opens the files, readers assign their columns to tables, and `load_table` loads the tables.
"""

import gzip
import re
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import duckdb

from workflow_scripts.common.darwin_core import Section, local
from workflow_scripts.common.delimited import Form, Source, find_form, header_cells, load
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.tables import quoted

SUFFIXES = (".txt", ".tsv", ".csv", ".tab")
"""Suffixes of files that may be tables, with any delimiter."""
GZIP_SUFFIX = ".gz"


@dataclass(frozen=True)
class Part:
    """A file of a table: its format, and the source of each of the table's columns."""

    path: Path
    form: Form
    columns: Mapping[str, Source]


@dataclass(frozen=True)
class Table:
    """A table: its parts, its columns, and the columns that every row needs."""

    name: str
    columns: tuple[str, ...]
    needed: tuple[str, ...]
    parts: Sequence[Part]

    def has(self, *columns: str) -> bool:
        """Whether any part has one of the columns."""
        return any(column in part.columns for part in self.parts for column in columns)


class Archive:
    """The files of a folder, of a zip, or a single file.

    The only zip among files without a table is opened in their place. Files packed by gzip have their unpacked names.
    """

    def __init__(self, place: Path, scratch: Path) -> None:
        self.place = place
        self.scratch = scratch
        self._numbers: dict[tuple[Path, str, str], int] = {}
        if not place.exists():
            raise InputError(f"{place}: missing; expected the folder, zip or table of a checklist")
        if place.is_file() and tarfile.is_tarfile(place):
            raise InputError(f"{place}: is a tar archive; unpack it, and give its folder")
        self._open(place)
        if (inner := self._only_zip()) is not None:
            self._open(self._unpacked(inner))

    def _open(self, source: Path) -> None:
        self.source = source
        self.is_zip = source.is_file() and zipfile.is_zipfile(source)
        if source.suffix.lower() == ".zip" and not self.is_zip:
            raise InputError(f"{self.place}: cannot be read as a zip; download it again")
        # Sorted by depth, then by name; files at the top belong to the archive itself.
        found = sorted((name for name in self._names() if _is_shown(name)), key=lambda name: (name.count("/"), name))
        self._packed = {name.removesuffix(GZIP_SUFFIX): name for name in reversed(found)}
        self._packed |= {name: name for name in found if not name.endswith(GZIP_SUFFIX)}
        self.members = list(dict.fromkeys(name.removesuffix(GZIP_SUFFIX) for name in found))

    def _only_zip(self) -> str | None:
        zips = [name for name in self.members if name.lower().endswith(".zip")]
        tables = [name for name in self.members if PurePosixPath(name).suffix.lower() in SUFFIXES]
        return zips[0] if len(zips) == 1 and not tables else None

    def _names(self) -> Iterable[str]:
        if self.is_zip:
            with _readable_zip(self.source) as opened:
                return [name for name in opened.namelist() if not name.endswith("/")]
        if self.source.is_dir():
            files = (file for file in self.source.rglob("*") if file.is_file())
            return [file.relative_to(self.source).as_posix() for file in files]
        return [self.source.name]

    def path(self, member: str) -> Path:
        """Path of a member; a packed member is unpacked to the scratch folder.

        Raises:
            InputError: the member cannot be unpacked.
        """
        path = self._unpacked(self._packed[member])
        if not self._packed[member].endswith(GZIP_SUFFIX):
            return path
        copy = self._copy(member, "plain")
        if not copy.exists():
            try:
                with gzip.open(path) as packed, copy.open("wb") as plain:
                    shutil.copyfileobj(packed, plain, 1 << 20)
            except (OSError, EOFError, zlib.error) as error:
                raise InputError(f"{self.place}: {member}: cannot be unpacked: {error}; download it again") from None
        return copy

    def _unpacked(self, name: str) -> Path:
        """Path of a file as it is in the folder or zip."""
        if not self.is_zip:
            return self.source / name if self.source.is_dir() else self.source
        copy = self._copy(name, self.source.stem)
        if not copy.exists():
            with _readable_zip(self.source) as opened, opened.open(name) as packed, copy.open("wb") as plain:
                shutil.copyfileobj(packed, plain, 1 << 20)
        return copy

    def _copy(self, name: str, group: str) -> Path:
        """A path in the scratch folder for a copy of a file; member names are never used as paths."""
        number = self._numbers.setdefault((self.source, group, name), len(self._numbers))
        folder = self.scratch / f"{number:05d}"
        folder.mkdir(exist_ok=True)
        return folder / PurePosixPath(name).name

    def find(self, name: str) -> str | None:
        """The topmost member with this file name, ignoring folder, case and packing; None if there is none."""
        wanted = name.lower().removesuffix(GZIP_SUFFIX)
        return next((member for member in self.members if PurePosixPath(member).name.lower() == wanted), None)

    def tables(self) -> list[str]:
        """Members that may be tables: those with a table's suffix, or the only member."""
        if len(self.members) == 1:
            return self.members
        return [name for name in self.members if PurePosixPath(name).suffix.lower() in SUFFIXES]

    def shown(self) -> str:
        """The files, for messages."""
        names = [PurePosixPath(name).name for name in self.members]
        return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "") if names else "no files"


def load_table(connection: duckdb.DuckDBPyConnection, table: Table, scratch: Path) -> int:
    """Load the parts of a table as text; return the number of rows that lacked trailing columns.

    Raises:
        InputError: a row is unreadable.
    """
    columns = ", ".join(f"{quoted(name)} VARCHAR" for name in table.columns)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {table.name} ({columns}, is_comment BOOLEAN)")
    padded = 0
    for part in table.parts:
        sources = {name: part.columns.get(name, Source(None)) for name in table.columns}
        needed = [name for name in table.needed if name in part.columns]
        padded += load(connection, table.name, part.path, part.form, sources, needed=needed, scratch=scratch).padded
    return padded


def by_header(path: Path, names: Mapping[str, str], encoding: str | None = None) -> Part:
    """A part with columns by its header; `names` are the known columns, by `plain` name."""
    form = find_form(path, lambda cell: plain(cell) in names, encoding)
    return Part(path, form, header_columns(path, form, names))


def fit_section(section: Section, path: Path) -> Section:
    """Adapt a section of `meta.xml` to one of its files.

    Terms without column and default get the column that the header gives them. A first line that repeats the terms of
    the columns is a header, even if `ignoreHeaderLines` is 0.
    """
    if not path.stat().st_size:
        return section
    cells = [plain(cell) for cell in header_cells(path, section.form)]
    form = section.form
    given = [field for field in section.fields if field.index is not None]
    if not form.header_lines and len(given) > 1:
        names = (cells[field.index] for field in given if field.index is not None and field.index < len(cells))
        if list(names) == [plain(field.term) for field in given]:
            form = replace(form, header_lines=1)
    fields = [
        replace(field, index=cells.index(plain(field.term)))
        if form.header_lines and field.index is None and field.default is None and plain(field.term) in cells
        else field
        for field in section.fields
    ]
    return replace(section, form=form, fields=tuple(fields))


def header_columns(path: Path, form: Form, names: Mapping[str, str]) -> dict[str, Source]:
    """The known columns in a file's header, by the first of their `names` that it has; of repeated names, the first."""
    places: dict[str, int] = {}
    for place, cell in enumerate(header_cells(path, form)):
        places.setdefault(plain(cell), place)
    columns: dict[str, Source] = {}
    for written, name in names.items():
        if written in places:
            columns.setdefault(name, Source(places[written]))
    return columns


def unread(archive: Archive, table: Table) -> dict[str, list[str]]:
    """Files of an archive that may be tables and are not parts of the table, and names in its headers not read."""
    read = {part.path: {source.index for source in part.columns.values()} for part in table.parts}
    cells = [
        cell
        for part in table.parts
        for place, cell in enumerate(header_cells(part.path, part.form))
        if plain(cell) and place not in read[part.path]
    ]
    files = [name for name in archive.tables() if archive.path(name) not in read]
    return {"files_unread": files, "columns_unread": list(dict.fromkeys(cells))}


def plain(name: str) -> str:
    """A name without namespace, case and punctuation: "dwc:taxonID" and "Taxon_ID" are both "taxonid"."""
    return re.sub(r"[\W_]+", "", local(name)).lower()


def named(*columns: str, **others: str) -> dict[str, str]:
    """Columns by their plain names, and by the synonyms in `others`."""
    return {plain(column): column for column in columns} | others


def best_tables(archive: Archive, rate: Callable[[Part], int], names: Mapping[str, str]) -> list[Part]:
    """The table of an archive with the highest rating above 0, and those with the same known columns."""
    paths = [path for member in archive.tables() if (path := archive.path(member)).stat().st_size]
    # A table that is rated 0 may have the same known columns: a checklist with a column of common names.
    parts = [part for path in paths if rate(part := by_header(path, names)) > 0]
    best = max(parts, key=rate, default=None)
    return [] if best is None else [part for part in parts if part.columns.keys() == best.columns.keys()]


def _is_shown(name: str) -> bool:
    return not any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(name).parts)


@contextmanager
def _readable_zip(place: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(place) as opened:
            yield opened
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{place}: cannot be read as a zip: {error}; download it again") from None
