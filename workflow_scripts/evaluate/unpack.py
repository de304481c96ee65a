"""Archives from outside: no member leaves the folder, and no more is written than was allowed."""

import shutil
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from workflow_scripts.common.errors import InputError
from workflow_scripts.common.progress import Progress

# What a file system's longest name and a benchmark's deepest folder need.
MAX_PARTS = 32


class Member(NamedTuple):
    """A file of an archive: where it goes, its size in bytes as the archive says it, and its content."""

    name: PurePosixPath
    size: int
    content: IO[bytes]


def unpack(archive: Path, folder: Path, *, max_bytes: int) -> int:
    """Write the files of a tar (packed or not) or a zip below `folder`, and return how many.

    Folders come from the names of files; links and devices are left out, for no benchmark needs them.

    Args:
        archive: the archive.
        folder: where its files go; it may hold others, of which none is replaced.
        max_bytes: the most that all files may have together.

    Raises:
        InputError: no archive, a broken one, a name that leads out of the folder or is there already, or too many
            bytes.
    """
    written = files = 0
    try:
        with Progress(f"unpacking {archive.name}", unit="files") as progress:
            for member in _members(archive):
                target = folder / _safe(member.name, archive)
                written += member.size
                if written > max_bytes:
                    raise InputError(f"{archive}: unpacks to more than {max_bytes / 1e9:g} GB; set max_gb higher")
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("xb") as out:
                    shutil.copyfileobj(member.content, out, 2**20)
                if target.stat().st_size != member.size:
                    raise InputError(f"{archive}: {member.name} has not the size that the archive says")
                files += 1
                progress.update(1)
    except FileExistsError as error:
        raise InputError(f"{archive}: {error.filename} is there twice") from None
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, RuntimeError) as error:
        raise InputError(f"{archive}: cannot be unpacked: {error}") from None
    if not files:
        raise InputError(f"{archive}: holds no file")
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


def _safe(name: PurePosixPath, archive: Path) -> PurePosixPath:
    if name.is_absolute() or ".." in name.parts or "\0" in str(name) or not 0 < len(name.parts) <= MAX_PARTS:
        raise InputError(f"{archive}: the name {str(name)[:200]!r} leads out of its folder")
    return name
