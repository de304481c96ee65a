"""Copies of shards on a node's local disk, for file systems that are slow at small reads.

All readers of a node share the copies: whoever needs a shard first copies it, in one sequential read.
"""

import fcntl
import hashlib
import os
import shutil
from contextlib import suppress
from pathlib import Path

from workflow_scripts.common.files import whole


class Stage:
    """A node-local folder of copies that never grows beyond a bound, save for one shard.

    Args:
        folder: on the node's own disk.
        max_bytes: copies are removed, the longest unused first, until they fit.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder = folder
        self.max_bytes = max_bytes

    def open(self, tar: Path) -> int:
        """A file descriptor of the copy of a tar, made if need be; it stays good when the copy is removed."""
        source = tar.resolve()
        stat = source.stat()
        name = hashlib.sha256(f"{source} {stat.st_size} {stat.st_mtime_ns}".encode()).hexdigest()[:32]
        copy = self.folder / f"{name}.tar"
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            # One copy at a time a node: a sequential read is what is wanted.
            fcntl.flock(lock, fcntl.LOCK_EX)
            if copy.exists():
                os.utime(copy)
            else:
                self._make_room(stat.st_size)
                with whole(copy) as temporary:
                    shutil.copyfile(source, temporary)
            return os.open(copy, os.O_RDONLY)

    def _make_room(self, size: int) -> None:
        copies = sorted(self.folder.glob("*.tar"), key=lambda path: path.stat().st_mtime_ns)
        used = sum(path.stat().st_size for path in copies)
        for path in copies:
            if used + size <= self.max_bytes:
                break
            used -= path.stat().st_size
            with suppress(FileNotFoundError):
                path.unlink()
