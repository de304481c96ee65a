"""How often each URL has been refused, counted over all servers of one world on one machine.

Several jobs serve the same addresses at once, and the kernel may send a URL's second request to another server than
its first. A count of its own in each would refuse it again and again.
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
    """Counts in a folder: an empty file is one refusal of one URL, and making it is atomic."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def count(self, url: str, limit: int) -> int:
        """How often the URL was refused before; this call counts as the next time, until there are `limit`."""
        name = hashlib.sha256(url.encode()).hexdigest()
        for earlier in range(limit):
            with suppress(FileExistsError):
                os.close(os.open(self._folder / f"{name}.{earlier}", os.O_CREAT | os.O_EXCL))
                return earlier
        return limit


@contextmanager
def open_refusals(identity: str) -> Iterator[Refusals]:
    """The counts of the world with this digest: the first server starts from nothing, the last one cleans up."""
    folder = Path(tempfile.gettempdir()) / f"world-{os.getuid()}-{identity[:16]}"
    lock = _join(folder)
    try:
        yield Refusals(folder)
    finally:
        if _alone(lock):
            _clear(folder)
            (folder / LOCK).unlink()
            # A server that has just come may have made its own lock there.
            with suppress(OSError):
                folder.rmdir()
        os.close(lock)


def _join(folder: Path) -> int:
    """The folder's lock, open and shared; a server that leaves may remove the folder meanwhile."""
    while True:
        with suppress(FileNotFoundError):
            folder.mkdir(mode=0o700, exist_ok=True)
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
            if _alone(lock):
                _clear(folder)
            fcntl.flock(lock, fcntl.LOCK_SH)
            if os.fstat(lock).st_nlink:
                return lock
            os.close(lock)


def _alone(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        if path.name != LOCK:
            path.unlink(missing_ok=True)
