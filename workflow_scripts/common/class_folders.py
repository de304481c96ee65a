"""Folders of photos named after species, as labs and museums keep them."""

import os
import re
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from workflow_scripts.common.errors import InputError

IMAGE_SUFFIXES = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".jp2", ".j2k", ".jpf", ".jpx", ".png", ".tif", ".tiff", ".webp"),
        *(".bmp", ".ppm", ".pgm", ".gif", ".avif", ".heic", ".heif", ".dng"),
    }
)
"""Lower-case suffixes of image files. Whether a file can be decoded is found out on reading it."""
SORTING = frozenset(
    {"train", "training", "val", "valid", "validation", "test", "testing", "images", "imgs", "photos", "pictures"}
)
"""Lower-case names of folders that only sort images; the folder around them names the organism."""
NUMBERING = re.compile(r"^(?:\d+[\s._]+|(?:0\d*|\d{3,}|\d+(?=-+[^\W\d_a-z]))-+)(?=[^\W\d_])")
"""Number before a folder's name; "7-spotted ladybird" has none."""
RANKED = re.compile(r"^\d+_(?:[A-Z][a-z]+_){5}([A-Z][a-z-]+_[a-z][^_]*)$")
"""Folders of iNaturalist 2021: a number, then the names from kingdom to genus, and the epithet."""
GENUS = re.compile(r"[A-Z][a-z-]{2,}")
EPITHET = re.compile(r"[a-z][a-z-]{2,}")


def is_binomial(name: str) -> bool:
    """Whether a name is written like a binomial or trinomial."""
    words = name.split()
    return len(words) in (2, 3) and bool(GENUS.fullmatch(words[0])) and all(map(EPITHET.fullmatch, words[1:]))


def organism_of(folder: str) -> str:
    """The organism that a folder is named after: "003_Pica_hudsonia" is "Pica hudsonia"."""
    folder = RANKED.sub(r"\1", folder)
    return " ".join(unicodedata.normalize("NFC", NUMBERING.sub("", folder)).replace("_", " ").split())


def organism_in_path(path: str, is_species: Callable[[str], bool] = is_binomial) -> tuple[str, int]:
    """The organism that an image's folders name, and the number of folders between them and the image.

    This is the deepest binomial, given by one folder or by two (genus and epithet), or else the deepest folder's name;
    ("", 0) if there is no folder. Folders of `SORTING` name nothing, and "Field photos" is no binomial.
    """
    names = [organism_of(part) for part in PurePosixPath(path).parent.parts if part.lower() not in SORTING]
    for inner, name in enumerate(reversed(names)):
        if name and name.split()[-1].lower() not in SORTING and is_species(name):
            return name, inner
        above = names[: len(names) - 1 - inner][-1:]
        if above and EPITHET.fullmatch(name) and GENUS.fullmatch(above[0]):
            return f"{above[0]} {name}", inner
    return (names[-1], 0) if names else ("", 0)


def files_by_folder(root: Path) -> Iterator[tuple[str, str]]:
    """Yield every file below a folder, sorted: its relative path and the name of its class folder.

    The class folder is the innermost one whose name is not in `SORTING`; "" if there is none. Links are followed;
    hidden files and folders are skipped.

    Raises:
        InputError: a folder cannot be read.
    """
    for folder, files in folders_below(root):
        inside = Path(folder).relative_to(root)
        named = next((part for part in reversed(inside.parts) if part.lower() not in SORTING), "")
        for name in sorted(files):
            if not name.startswith("."):
                yield (inside / name).as_posix(), named


def folders_below(root: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield a folder and every folder below it, sorted, with its names of files; no file is examined.

    Links are followed, each folder once; hidden folders are skipped.

    Raises:
        InputError: a folder cannot be read.
    """
    visited: set[str] = set()
    for folder, subfolders, files in os.walk(root, onerror=_refuse, followlinks=True):
        if (real := os.path.realpath(folder)) in visited:
            subfolders.clear()
            continue
        visited.add(real)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        yield folder, files


def _refuse(error: OSError) -> None:
    raise InputError(f"{error.filename}: {error.strerror}; make the folder readable, or move it elsewhere")


def is_text(path: str) -> bool:
    """Whether a path is valid UTF-8, as tables require. Python represents other bytes as surrogates."""
    return os.fsencode(path) == path.encode("utf-8", "replace")


def is_image(path: str) -> bool:
    """Whether a file has the suffix of an image."""
    # Millions of names are examined; a Path for each takes three times as long.
    stem, dot, suffix = path.rpartition(".")
    return bool(stem) and not stem.endswith("/") and f"{dot}{suffix.lower()}" in IMAGE_SUFFIXES
