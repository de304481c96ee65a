"""Reading of downloaded images by their place in the download tars."""

import os
import tarfile
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from workflow_scripts.common.errors import InputError

KEPT_OPEN = 256


class Stored(NamedTuple):
    """An image's place in a download tar.

    Attributes:
        uuid: the image.
        folder: the folder of its download part.
        tar: the tar's name in that folder.
        offset: where the member's data begins, bytes.
        size: length of the member's data, bytes.
    """

    uuid: str
    folder: Path
    tar: str
    offset: int
    size: int


class StoredImages:
    """Reads images of download tars; may be shared by threads.

    A shuffle spreads a shard over all tars, so those read last are kept open.
    """

    def __init__(self) -> None:
        # A file that falls out of the cache closes when the last reader lets go of it.
        self._open = lru_cache(KEPT_OPEN)(lambda path: path.open("rb", buffering=0))

    def read(self, stored: Stored) -> bytes:
        """An image's bytes, after checking by the tar's own header that they are this image's.

        Raises:
            InputError: the tar is missing, shorter, or holds something else there.
        """
        if Path(stored.tar).name != stored.tar:
            raise InputError(f"{stored.folder}: {stored.tar!r} is not the name of a tar (image {stored.uuid})")
        start = stored.offset - tarfile.BLOCKSIZE
        if start < 0:
            raise damaged(stored, "no member can begin there")
        try:
            file = self._open(stored.folder / stored.tar)
            block = os.pread(file.fileno(), tarfile.BLOCKSIZE + stored.size, start)
        except OSError as error:
            raise damaged(stored, error.strerror or str(error)) from None
        if len(block) != tarfile.BLOCKSIZE + stored.size:
            raise damaged(stored, "the tar ends before the image does")
        try:
            member = tarfile.TarInfo.frombuf(block[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
        except tarfile.HeaderError:
            raise damaged(stored, "no member begins there") from None
        if member.name.partition(".")[0] != stored.uuid or member.size != stored.size:
            raise damaged(stored, f"the member there is {member.name!r} of {member.size} bytes")
        return block[tarfile.BLOCKSIZE :]


def damaged(stored: Stored, what: str) -> InputError:
    """The error that names the tar, the byte and the image that is not there."""
    return InputError(
        f"{stored.folder / stored.tar}: image {stored.uuid} ({stored.size} bytes at byte {stored.offset}): {what}; "
        f"download {stored.folder.name} again"
    )
