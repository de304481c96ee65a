"""Write reproducible tars, and read their members by offset, without scanning."""

import tarfile
from collections.abc import Iterable, Iterator, Set
from itertools import groupby
from pathlib import Path
from typing import BinaryIO, NamedTuple

from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import atomic
from workflow_scripts.common.torchless import torch_hidden

OWNER = "treeoflife"
MODE = 0o444
# Must be an integer: for floats, webdataset's TarWriter adds extended headers.
MTIME = 0


class Span(NamedTuple):
    """Place of a member's data in its tar, bytes."""

    offset: int
    size: int


def write_tar(path: Path, samples: Iterable[tuple[str, dict[str, bytes]]]) -> list[dict[str, Span]]:
    """Write samples as one tar, atomically and in the given order; the same samples give the same bytes.

    Args:
        path: the tar.
        samples: key without dots (the uuid), and data of the members by extension (`jpg`, `txt`). Members of a sample
            are written in the order of their extensions.

    Returns:
        For each sample, the places of its members by extension, as `tarfile` reads them back.
    """
    with torch_hidden():
        from webdataset.writer import TarWriter
    keys = []
    with atomic(path) as temporary:
        with (
            temporary.open("wb") as file,
            TarWriter(file, user=OWNER, group=OWNER, mode=MODE, mtime=MTIME, encoder=False) as writer,
        ):
            for key, members in samples:
                if "." in key or "/" in key:
                    raise ValueError(f"{path}: sample key {key!r} must not contain dots or slashes")
                writer.write({"__key__": key, **members})
                keys.append((key, sorted(members)))
        places = member_places(temporary)
        if len(places) != sum(len(extensions) for _, extensions in keys):
            raise ValueError(f"{path}: duplicate sample key")
    return [{extension: places[f"{key}.{extension}"] for extension in extensions} for key, extensions in keys]


def drop_samples(path: Path, keys: Set[str]) -> list[str]:
    """Rewrite a tar without some samples, atomically; return the keys of the remaining samples."""
    kept: list[str] = []

    def others() -> Iterator[tuple[str, dict[str, bytes]]]:
        with tarfile.open(path, "r:") as tar, path.open("rb") as file:
            for key, members in groupby(tar, key=lambda member: member.name.partition(".")[0]):
                if key not in keys:
                    kept.append(key)
                    yield (
                        key,
                        {
                            member.name.partition(".")[2]: read_at(file, member.offset_data, member.size)
                            for member in members
                        },
                    )

    write_tar(path, others())
    return kept


def member_places(path: Path) -> dict[str, Span]:
    """Places of all members by name, in the order of the tar, read from its headers.

    Raises:
        InputError: the file is not a complete tar.
    """
    try:
        with tarfile.open(path, "r:") as tar:
            return {member.name: Span(member.offset_data, member.size) for member in tar}
    except tarfile.TarError as error:
        raise InputError(f"{path}: not a complete tar: {error}") from None


def read_at(file: BinaryIO, offset: int, size: int) -> bytes:
    """Read a member's data at its place in an open tar.

    Raises:
        InputError: the tar is too short.
    """
    file.seek(offset)
    data = file.read(size)
    if len(data) != size:
        raise InputError(f"{file.name}: ends before byte {offset + size}, within an image; make it again")
    return data
