"""Read label files and folders of images."""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from workflow_scripts.common.errors import InputError

# Key in accounts that counts the images that published evaluation code decodes differently.
DIFFERING = "published code sees other pixels"
IMAGE_FOLDER_SUFFIXES = {".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"}
"""Suffixes of the files that torchvision's `ImageFolder` reads, and with it the published code; fewer than
`class_folders.IMAGE_SUFFIXES`, which accepts what cameras write."""


def read_csv(path: Path, check: Callable[[Sequence[str]], None]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the rows of a CSV in order, each with its file and line for messages.

    Args:
        path: the CSV, UTF-8 with or without a byte-order mark.
        check: called with the column names; raises InputError if they are wrong.

    Raises:
        InputError: the file is missing or not a CSV, or a row has another number of fields than the header.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            check(list(reader.fieldnames or []))
            for row in reader:
                where = f"{path}: line {reader.line_num}"
                if None in row or None in row.values():
                    raise InputError(f"{where}: the number of fields differs from the header's")
                yield where, row
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8; save it as UTF-8") from None
    except csv.Error as error:
        raise InputError(f"{path}: line {reader.reader.line_num}: not valid CSV: {error}") from None


def has_columns(path: Path, wanted: Sequence[str]) -> Callable[[Sequence[str]], None]:
    """A check for `read_csv` that the CSV has the wanted columns."""

    def check(found: Sequence[str]) -> None:
        if missing := [column for column in wanted if column not in found]:
            has = ", ".join(column for column in found if column) or "none"
            raise InputError(f"{path}: missing column {', '.join(missing)}; found {has}")

    return check


def read_lines(path: Path) -> list[str]:
    """The non-empty lines of a small text file.

    Raises:
        InputError: the file is missing or not UTF-8.
    """
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8; save it as UTF-8") from None


def class_folders(folder: Path) -> list[Path]:
    """The subfolders of a folder, sorted by name as torchvision's `ImageFolder` numbers classes.

    Raises:
        InputError: the folder does not exist or has no subfolders.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    found = sorted((path for path in folder.iterdir() if path.is_dir()), key=lambda path: path.name)
    if not found:
        raise InputError(f"{folder}: contains no class folders")
    return found


def files_of(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield the files in a class folder, sorted by name, with the reason to drop each one ("": none)."""
    for path in sorted((path for path in folder.iterdir() if path.is_file()), key=lambda path: path.name):
        yield path, "" if path.suffix.lower() in IMAGE_FOLDER_SUFFIXES else "not_named_as_an_image"


def files_by_name(folder: Path) -> dict[str, list[Path]]:
    """All files below a folder, by lower-case file name."""
    found: dict[str, list[Path]] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        found.setdefault(path.name.lower(), []).append(path)
    return found


def files_named(name: str, files: Mapping[str, Sequence[Path]]) -> Sequence[Path]:
    """The files with this name among those of `files_by_name`; if there is none, those that differ only in case."""
    alike = files.get(name.lower(), ())
    return [path for path in alike if path.name == name] or alike


def single_name(name: str, where: str) -> str:
    """Check that external text is a single file or folder name, so that it cannot lead to another folder.

    Raises:
        InputError: it is not.
    """
    if not name or name in (".", "..") or "/" in name or "\0" in name:
        raise InputError(f"{where}: {name!r} is not a valid name of a file or folder")
    return name
