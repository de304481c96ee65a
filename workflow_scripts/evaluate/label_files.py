"""Label files and folders of images as they come."""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from workflow_scripts.common.errors import InputError

# How accounts call the images that published evaluation code decodes otherwise.
DIFFERING = "published code sees other pixels"
# What torchvision's ImageFolder takes for images, as the published readers do.
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"}


def read_csv(path: Path, check: Callable[[Sequence[str]], None]) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows of a CSV in their order, each with where it stands, for messages.

    Args:
        path: the CSV, UTF-8 with or without a byte-order mark.
        check: raises what is wrong with its columns.

    Raises:
        InputError: the file is missing or no CSV, or a row has not as many fields as the header.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            check(list(reader.fieldnames or []))
            for row in reader:
                where = f"{path}: line {reader.line_num}"
                if None in row or None in row.values():
                    raise InputError(f"{where}: not as many fields as the header has")
                yield where, row
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8; save it as UTF-8") from None
    except csv.Error as error:
        raise InputError(f"{path}: line {reader.reader.line_num}: not valid CSV: {error}") from None


def has_columns(path: Path, wanted: Sequence[str]) -> Callable[[Sequence[str]], None]:
    """A check that a CSV has some columns."""

    def check(found: Sequence[str]) -> None:
        if missing := [column for column in wanted if column not in found]:
            has = ", ".join(column for column in found if column) or "none"
            raise InputError(f"{path}: missing column {', '.join(missing)}; found {has}")

    return check


def read_lines(path: Path) -> list[str]:
    """The lines of a small text file, without empty ones.

    Raises:
        InputError: missing, or not UTF-8.
    """
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8; save it as UTF-8") from None


def class_folders(folder: Path) -> list[Path]:
    """The folders in a folder, sorted by name as `ImageFolder` numbers its classes.

    Raises:
        InputError: there is no such folder, or none in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    found = sorted((path for path in folder.iterdir() if path.is_dir()), key=lambda path: path.name)
    if not found:
        raise InputError(f"{folder}: holds no folder of images")
    return found


def files_of(folder: Path) -> Iterator[tuple[Path, str]]:
    """Every file of a class's folder, sorted by name, and why it is no image by its name ("" when it is)."""
    for path in sorted((path for path in folder.iterdir() if path.is_file()), key=lambda path: path.name):
        yield path, "" if path.suffix.lower() in IMAGE_SUFFIXES else "not_named_as_an_image"


def files_by_name(folder: Path) -> dict[str, list[Path]]:
    """Every file below a folder, by its name in lower case."""
    found: dict[str, list[Path]] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        found.setdefault(path.name.lower(), []).append(path)
    return found


def named_alike(name: str, files: Mapping[str, Sequence[Path]]) -> Sequence[Path]:
    """The files of a name among those of `files_by_name`; where there is none, those that differ in case alone."""
    alike = files.get(name.lower(), ())
    return [path for path in alike if path.name == name] or alike


def one_name(name: str, where: str) -> str:
    """A file's or folder's name from outside, which must not lead anywhere else.

    Raises:
        InputError: it is no single name.
    """
    if not name or name in (".", "..") or "/" in name or "\0" in name:
        raise InputError(f"{where}: {name!r} is no name of a file or folder")
    return name
