"""Read downloaded images by their place in the download tars."""

import os
import tarfile
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from workflow_scripts.common.errors import InputError

MAX_OPEN_FILES = 256


class Stored(NamedTuple):
    """An image's place in a download tar.

    Attributes:
        uuid: uuid of the image.
        folder: folder of its download part.
        tar: name of the tar in that folder.
        offset: start of the member's data, bytes.
        size: length of the member's data, bytes.
    """

    uuid: str
    folder: Path
    tar: str
    offset: int
    size: int


class StoredImages:
    """Reads images from download tars; thread-safe.

    A shuffled shard has images from all tars, so the most recently used ones are kept open.
    """

    def __init__(self) -> None:
        # A file that leaves the cache is closed once no reader uses it.
        self._open = lru_cache(MAX_OPEN_FILES)(lambda path: path.open("rb", buffering=0))

    def read(self, stored: Stored) -> bytes:
        """Read an image's bytes, after checking the member's header in the tar.

        Raises:
            InputError: the tar is missing or too short, or has another member at this place.
        """
        if Path(stored.tar).name != stored.tar:
            raise InputError(f"{stored.folder}: invalid tar name {stored.tar!r} (image {stored.uuid})")
        start = stored.offset - tarfile.BLOCKSIZE
        if start < 0:
            raise damaged(stored, "no tar member can begin there")
        try:
            file = self._open(stored.folder / stored.tar)
            block = os.pread(file.fileno(), tarfile.BLOCKSIZE + stored.size, start)
        except OSError as error:
            raise damaged(stored, error.strerror or str(error)) from None
        if len(block) != tarfile.BLOCKSIZE + stored.size:
            raise damaged(stored, "the tar ends within the image")
        try:
            member = tarfile.TarInfo.frombuf(block[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
        except tarfile.HeaderError:
            raise damaged(stored, "no tar member begins there") from None
        if member.name.partition(".")[0] != stored.uuid or member.size != stored.size:
            raise damaged(stored, f"found the member {member.name!r} of {member.size} bytes")
        return block[tarfile.BLOCKSIZE :]


def damaged(stored: Stored, what: str) -> InputError:
    """The error for an image that is not at its place; names the tar, the byte and the image."""
    return InputError(
        f"{stored.folder / stored.tar}: image {stored.uuid} ({stored.size} bytes at byte {stored.offset}): {what}; "
        f"download {stored.folder.name} again"
    )
