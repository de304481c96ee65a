"""What a folder contains: recorded when a source reads it, and compared later to find what has changed.

Up to `MAX_EXAMINED` files, names, sizes and times are compared. In larger folders only names are, and only where a
folder's own time has changed: examining each of a million files takes seconds, and minutes on a busy file server.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from workflow_scripts.common.class_folders import folders_below
from workflow_scripts.common.files import write_text

MAX_EXAMINED = 100_000
# The coarsest file systems (FAT) store times in steps of 2 s; a copy to one of them must not look changed.
TIME_STEP_NS = 2_000_000_000

# Whether a source reads files of this name.
IsRead = Callable[[str], bool]


@dataclass(frozen=True)
class Changes:
    """How a folder differs from earlier contents.

    Attributes:
        added, removed, overwritten: paths of files.
        folders: folders with added, removed or renamed files, for contents that have only names.
        is_copy: whether the remaining files or folders have other times throughout, as in a copy of the folder.
    """

    added: Sequence[str] = ()
    removed: Sequence[str] = ()
    overwritten: Sequence[str] = ()
    folders: Sequence[str] = ()
    is_copy: bool = False


@dataclass(frozen=True)
class Contents:
    """The files that a source reads from a folder. One of the two is set; folders are relative paths.

    Attributes:
        files: size (bytes) and time (ns) of each file, by folder and name.
        names: each folder's time (ns) and a digest of its files' names.
    """

    files: Mapping[str, Mapping[str, Sequence[int]]] | None = None
    names: Mapping[str, tuple[int, str]] | None = None

    @classmethod
    def of(cls, root: Path, is_read: IsRead) -> "Contents":
        """The present contents of a folder.

        Raises:
            InputError: a folder cannot be read.
            OSError: a folder vanished.
        """
        files: dict[str, dict[str, Sequence[int]]] | None = {}
        names: dict[str, tuple[int, str]] = {}
        count = 0
        for folder, place, found in _walk(root, is_read):
            names[folder] = (Path(place).stat().st_mtime_ns, _digest(found))
            count += len(found)
            if count > MAX_EXAMINED:
                files = None
            if files is not None:
                files[folder] = {name: _state(f"{place}/{name}") for name in found}
        return cls(names=names) if files is None else cls(files=files)

    def changes(self, root: Path, is_read: IsRead) -> Changes:
        """How a folder differs from these contents.

        Raises:
            InputError: a folder cannot be read.
            OSError: the folder vanished.
        """
        if self.files is not None:
            return _changed_files(self.files, root, is_read)
        return _changed_names(self.names or {}, root, is_read)


def write_contents(path: Path, contents: Mapping[str, Contents]) -> None:
    """Write the contents of a source's folders, by option name."""
    found = {option: {"files": one.files, "names": one.names} for option, one in contents.items()}
    write_text(path, json.dumps(found))


def read_contents(path: Path) -> dict[str, Contents] | None:
    """The recorded contents of a source's folders, by option name; None without a readable record."""
    try:
        return {option: Contents(**one) for option, one in json.loads(path.read_text()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def _changed_files(files: Mapping[str, Mapping[str, Sequence[int]]], root: Path, is_read: IsRead) -> Changes:
    added, removed, overwritten, retimed = [], [], [], []
    left = dict(files)
    kept = 0
    for folder, place, found in _walk(root, is_read):
        known = left.pop(folder, {})
        for name in found:
            path = f"{place}/{name}"
            if name not in known:
                added.append(path)
                continue
            kept += 1
            (size, time_ns), (old_size, old_time_ns) = _state(path), known[name]
            if size != old_size:
                overwritten.append(path)
            elif abs(time_ns - old_time_ns) >= TIME_STEP_NS:
                retimed.append(path)
        removed += [f"{place}/{name}" for name in sorted(known.keys() - set(found))]
    removed += [f"{root / folder}/{name}" for folder, names in left.items() for name in names]
    is_copy = bool(retimed) and len(retimed) + len(overwritten) == kept
    return Changes(added, removed, overwritten if is_copy else sorted(overwritten + retimed), is_copy=is_copy)


def _changed_names(names: Mapping[str, tuple[int, str]], root: Path, is_read: IsRead) -> Changes:
    """The first folder whose names of files have changed. Folders with an unchanged time are not listed."""
    is_copy = False
    for folder, (time_ns, known) in names.items():
        place = root / folder
        if not place.is_dir():
            return Changes(folders=[str(place)])
        if place.stat().st_mtime_ns == time_ns:
            continue
        is_copy = True
        with os.scandir(place) as listed:
            below = {entry.name: entry.is_dir() for entry in listed}
        if _digest(sorted(name for name, is_folder in below.items() if not is_folder and is_read(name))) != known:
            return Changes(folders=[str(place)])
        for name in sorted(name for name, is_folder in below.items() if is_folder and not name.startswith(".")):
            new = (Path(folder) / name).as_posix() not in names
            if new and any(found for _, _, found in _walk(place / name, is_read)):
                return Changes(folders=[str(place / name)])
    return Changes(is_copy=is_copy)


def _walk(root: Path, is_read: IsRead) -> Iterator[tuple[str, str, list[str]]]:
    """Each folder below a folder: its relative path, its path, and the sorted names of the files that are read."""
    for place, names in folders_below(root):
        yield os.path.relpath(place, root), place, sorted(filter(is_read, names))


def _digest(names: Iterable[str]) -> str:
    return hashlib.sha256(os.fsencode("/".join(names))).hexdigest()


def _state(path: str) -> tuple[int, int]:
    """Size (bytes) and time (ns) of a file; -1 if it cannot be examined."""
    try:
        # A Path for each file would double the time.
        found = os.stat(path)  # noqa: PTH116
    except OSError:
        return -1, -1
    return found.st_size, found.st_mtime_ns
