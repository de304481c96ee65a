"""Images where the download stage stored them, read by place."""

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
        part: the download part.
        tar: the tar's name in the part's folder.
        offset: where the member's data begins, bytes.
        size: how long it is, bytes.
    """

    uuid: str
    part: int
    tar: str
    offset: int
    size: int

    def path(self, downloads: Path) -> Path:
        """The tar's path below the folder that holds the parts."""
        return downloads / f"part-{self.part:04d}" / self.tar


class StoredImages:
    """Reads images of the download tars; may be shared by threads.

    The shuffle spreads a shard over all tars, so those read last are kept open.

    Args:
        downloads: the folder that holds the parts.
    """

    def __init__(self, downloads: Path) -> None:
        self.downloads = downloads
        # A file that falls out of the cache closes when the last reader lets go of it.
        self._open = lru_cache(KEPT_OPEN)(lambda path: path.open("rb", buffering=0))

    def read(self, stored: Stored) -> bytes:
        """An image's bytes, after checking by the tar's own header that they are this image's.

        Raises:
            InputError: the tar is missing, shorter, or holds something else there.
        """
        path = stored.path(self.downloads)
        if Path(stored.tar).name != stored.tar:
            raise InputError(f"{stored.tar!r}: not the name of a tar in a part's folder (image {stored.uuid})")
        start = stored.offset - tarfile.BLOCKSIZE
        if start < 0:
            raise damaged(self.downloads, stored, "no member can begin there")
        try:
            file = self._open(path)
            block = os.pread(file.fileno(), tarfile.BLOCKSIZE + stored.size, start)
        except OSError as error:
            raise damaged(self.downloads, stored, error.strerror or str(error)) from None
        if len(block) != tarfile.BLOCKSIZE + stored.size:
            raise damaged(self.downloads, stored, "the tar ends before the image does")
        try:
            member = tarfile.TarInfo.frombuf(block[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
        except tarfile.HeaderError:
            raise damaged(self.downloads, stored, "no member begins there") from None
        if member.name.partition(".")[0] != stored.uuid or member.size != stored.size:
            raise damaged(self.downloads, stored, f"the member there is {member.name!r} of {member.size} bytes")
        return block[tarfile.BLOCKSIZE :]


def damaged(downloads: Path, stored: Stored, what: str) -> InputError:
    """The error that names a tar, the byte and the image that is not there."""
    return InputError(
        f"{stored.path(downloads)}: image {stored.uuid} ({stored.size} bytes at byte {stored.offset}): {what}; "
        f"the tar is damaged: download part {stored.part} again"
    )
