"""Count the refused requests of each URL, over all servers of one world on one machine.

Several jobs serve the same addresses, and the kernel may send a URL's retry to another server than the first request,
so the servers share their counts.
"""

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOCK = "lock"


class Refusals:
    """Counts in a folder: each refusal of a URL is an empty file, created atomically."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def count(self, url: str, limit: int) -> int:
        """Number of earlier refusals of the URL; below `limit`, this call adds one."""
        name = hashlib.sha256(url.encode()).hexdigest()
        for earlier in range(limit):
            with suppress(FileExistsError):
                os.close(os.open(self._folder / f"{name}.{earlier}", os.O_CREAT | os.O_EXCL))
                return earlier
        return limit


@contextmanager
def open_refusals(identity: str) -> Iterator[Refusals]:
    """The counts of the world with digest `identity`; the first server clears them, the last one removes them."""
    folder = Path(tempfile.gettempdir()) / f"world-{os.getuid()}-{identity[:16]}"
    lock = _join(folder)
    try:
        yield Refusals(folder)
    finally:
        if _try_exclusive(lock):
            _clear(folder)
            (folder / LOCK).unlink()
            # A server that is starting may have created a new lock.
            with suppress(OSError):
                folder.rmdir()
        os.close(lock)


def _join(folder: Path) -> int:
    """Open the folder's lock and take it shared; retries if the last server removes the folder meanwhile."""
    while True:
        with suppress(FileNotFoundError):
            folder.mkdir(mode=0o700, exist_ok=True)
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
            if _try_exclusive(lock):
                _clear(folder)
            fcntl.flock(lock, fcntl.LOCK_SH)
            if os.fstat(lock).st_nlink:
                return lock
            os.close(lock)


def _try_exclusive(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        if path.name != LOCK:
            path.unlink(missing_ok=True)
