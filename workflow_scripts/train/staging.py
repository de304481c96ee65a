"""Copies of shards on a node's local disk, for file systems that are slow at small reads.

All readers on a node share the copies; the first reader of a shard copies it, in one sequential read.
"""

import fcntl
import hashlib
import os
import shutil
from contextlib import suppress
from pathlib import Path

from workflow_scripts.common.files import atomic


class StagingArea:
    """A node-local folder of copied shards, bounded in size (a single shard may exceed the bound).

    Args:
        folder: folder on the node's local disk.
        max_bytes: maximum total size; the least recently used copies are removed first.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder = folder
        self.max_bytes = max_bytes

    def open(self, tar: Path) -> int:
        """Open the copy of a tar, copying it first if needed. The descriptor stays valid if the copy is removed."""
        source = tar.resolve()
        stat = source.stat()
        name = hashlib.sha256(f"{source} {stat.st_size} {stat.st_mtime_ns}".encode()).hexdigest()[:32]
        copy = self.folder / f"{name}.tar"
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            # One copy at a time per node keeps reads sequential.
            fcntl.flock(lock, fcntl.LOCK_EX)
            if copy.exists():
                os.utime(copy)
            else:
                self._make_room(stat.st_size)
                with atomic(copy) as temporary:
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
