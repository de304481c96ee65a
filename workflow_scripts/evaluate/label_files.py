"""Read label files and folders of images."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from workflow_scripts.common import tables
from workflow_scripts.common.delimited import BYTE_ORDER_MARKS
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.image_lists import is_nested
from workflow_scripts.common.table_files import TEXT, open_table

ROWS_AT_ONCE = 10_000
# Key in accounts that counts the images that published evaluation code decodes differently.
DIFFERING = "published code sees other pixels"
IMAGE_FOLDER_SUFFIXES = {".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"}
"""Suffixes of the files that torchvision's `ImageFolder` reads, and with it the published code; fewer than
`class_folders.IMAGE_SUFFIXES`, which accepts what cameras write."""


@dataclass(frozen=True)
class LabelTable:
    """An open table of labels.

    Attributes:
        path: the file.
        columns: its column names, in order, without columns of bytes, lists and records.
    """

    path: Path
    columns: tuple[str, ...]
    _connection: duckdb.DuckDBPyConnection
    _source: str

    def rows(self) -> Iterator[tuple[str, dict[str, str]]]:
        """Yield the rows that are not empty, in order, each with its file and row for messages; the header is row 1."""
        columns = ", ".join(f"CAST({tables.quoted(column)} AS VARCHAR)" for column in self.columns)
        read = self._connection.execute(f"SELECT {columns} FROM {self._source}")
        number = 1
        while rows := read.fetchmany(ROWS_AT_ONCE):
            for row in rows:
                number += 1
                if any(row):
                    cells = ((value or "").strip() for value in row)
                    yield f"{self.path}: row {number}", dict(zip(self.columns, cells, strict=True))

    def holds(self, condition: str) -> bool:
        """Whether an SQL condition on aggregates of the rows is true."""
        return bool(tables.scalar(self._connection, f"SELECT {condition} FROM {self._source}"))


@contextmanager
def open_labels(path: Path) -> Iterator[LabelTable]:
    """Open a table of labels: delimited text of any delimiter, quoting and encoding, an Excel workbook, or parquet.

    Raises:
        InputError: the file is missing or not a table, or a row has another number of values than the header.
    """
    with tables.connect() as connection, tempfile.TemporaryDirectory(prefix="labels-") as scratch:
        connection.execute("SET preserve_insertion_order = true")
        source = open_table(connection, path, "labels", Path(scratch))
        described = connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
        # Parquet files may contain the images.
        columns = tuple(name for name, kind, *_ in described if kind != "BLOB" and not is_nested(kind))
        yield LabelTable(path, columns, connection, source)


def has_guessed_encoding(path: Path) -> bool:
    """Whether a table is text that is not UTF-8 and has no mark of its encoding."""
    if not path.name.lower().endswith(TEXT):
        return False
    data = path.read_bytes()
    try:
        data.decode()
    except UnicodeDecodeError:
        return not data.startswith(tuple(BYTE_ORDER_MARKS))
    return False


def read_table(path: Path, wanted: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the rows of a table that has the wanted columns, as `LabelTable.rows` does.

    Raises:
        InputError: as for `open_labels`, or a column is missing.
    """
    with open_labels(path) as table:
        if missing := [column for column in wanted if column not in table.columns]:
            raise InputError(f"{path}: missing column {', '.join(missing)}; found {', '.join(table.columns)}")
        yield from table.rows()


def read_lines(path: Path) -> list[str]:
    """The non-empty lines of a small text file.

    Raises:
        InputError: the file is missing or not UTF-8.
    """
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8; save it as UTF-8") from None


def check_folder(path: Path, key: str) -> None:
    """Check that a folder of images exists.

    Args:
        path: the folder.
        key: the config key that names it.

    Raises:
        InputError: it does not exist or is a file, such as an archive.
    """
    if path.is_file():
        raise InputError(f"{key}: {path} is a file, expected a folder; unpack an archive first")
    if not path.is_dir():
        raise InputError(f"{key}: {path}: no such folder")


def class_folders(folder: Path) -> list[Path]:
    """The subfolders of a folder, sorted by name as torchvision's `ImageFolder` numbers classes.

    Hidden folders and macOS's are skipped: they would shift the numbers.

    Raises:
        InputError: the folder does not exist or has no subfolders.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    found = sorted(
        (path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "__MACOSX"))),
        key=lambda path: path.name,
    )
    if not found:
        raise InputError(f"{folder}: contains no class folders")
    return found


def files_of(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield the visible files in a class folder, sorted by name, with the reason to drop each one ("": none)."""
    files = (path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    for path in sorted(files, key=lambda path: path.name):
        yield path, "" if path.suffix.lower() in IMAGE_FOLDER_SUFFIXES else "not_named_as_an_image"


def single_name(name: str, where: str) -> str:
    """Check that external text is a single file or folder name, so that it cannot lead to another folder.

    Raises:
        InputError: it is not.
    """
    if not name or name in (".", "..") or "/" in name or "\0" in name:
        raise InputError(f"{where}: {name!r} is not a valid name of a file or folder")
    return name
