"""Hosts that refused nearly all that some job asked of them, noted where the other jobs of a corpus see it."""

from contextlib import suppress
from pathlib import Path

from workflow_scripts.common.files import digest, write_text

STOPPED_HOSTS = "stopped_hosts"
NAME_LENGTH = 16


class StoppedHosts:
    """A file a host. Nobody waits for it or locks it: one that comes too late costs a few requests.

    Args:
        folder: where the files are; None keeps and knows nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def knows(self, host: str) -> bool:
        """Whether some job stopped a host, and none has had a good answer since."""
        return self._folder is not None and self._note(self._folder, host).exists()

    def add(self, host: str) -> None:
        """Note that a host was stopped."""
        if self._folder is not None:
            write_text(self._note(self._folder, host), f"{host}\n")

    def remove(self, host: str) -> None:
        """Note that it answers again."""
        if self._folder is not None:
            with suppress(FileNotFoundError):
                self._note(self._folder, host).unlink()

    def _note(self, folder: Path, host: str) -> Path:
        return folder / f"{digest(host)[:NAME_LENGTH]}.txt"
