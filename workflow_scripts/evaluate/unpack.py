"""Unpack archives safely: no member is written outside the folder, and the total size is limited."""

import shutil
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from workflow_scripts.common.errors import InputError
from workflow_scripts.common.progress import Progress

# The deepest path accepted; benchmarks have far fewer levels.
MAX_PARTS = 32


class Member(NamedTuple):
    """A file in an archive: its path, the size that the archive declares in bytes, and its content."""

    name: PurePosixPath
    size: int
    content: IO[bytes]


def unpack(archive: Path, folder: Path, *, max_bytes: int) -> int:
    """Extract a tar (compressed or not) or zip archive into `folder` and return the number of files.

    Folders are created from file paths; links and devices are skipped, since no benchmark needs them.

    Args:
        archive: the archive.
        folder: the destination; existing files are never overwritten.
        max_bytes: maximum total size of the extracted files.

    Raises:
        InputError: the file is not an archive or is damaged, a path leads out of the folder or exists already, or the
            total size exceeds `max_bytes`.
    """
    written = files = 0
    try:
        with Progress(f"unpacking {archive.name}", unit="files") as progress:
            for member in _members(archive):
                target = folder / _checked_path(member.name, archive)
                written += member.size
                if written > max_bytes:
                    raise InputError(f"{archive}: contents exceed {max_bytes / 1e9:g} GB; raise max_gb")
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("xb") as out:
                    shutil.copyfileobj(member.content, out, 2**20)
                if (size := target.stat().st_size) != member.size:
                    raise InputError(f"{archive}: {member.name}: expected {member.size} bytes, found {size}")
                files += 1
                progress.update(1)
    except FileExistsError as error:
        raise InputError(f"{archive}: {error.filename} exists already") from None
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, RuntimeError) as error:
        raise InputError(f"{archive}: unpacking failed: {error}") from None
    if not files:
        raise InputError(f"{archive}: contains no files")
    return files


def _members(archive: Path) -> Iterator[Member]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            for entry in packed.infolist():
                if not entry.is_dir() and not stat.S_ISLNK(entry.external_attr >> 16):
                    with packed.open(entry) as content:
                        yield Member(PurePosixPath(entry.filename), entry.file_size, content)
        return
    with tarfile.open(archive) as tar:
        for item in tar:
            data = tar.extractfile(item) if item.isreg() else None
            if data is not None:
                yield Member(PurePosixPath(item.name), item.size, data)


def _checked_path(name: PurePosixPath, archive: Path) -> PurePosixPath:
    if name.is_absolute() or ".." in name.parts or "\0" in str(name) or not 0 < len(name.parts) <= MAX_PARTS:
        raise InputError(
            f"{archive}: path {str(name)[:200]!r} leads out of the folder or has more than {MAX_PARTS} levels"
        )
    return name
