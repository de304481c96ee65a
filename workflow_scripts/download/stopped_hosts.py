"""Hosts that some job stopped asking, noted where the other jobs of a corpus see it."""

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from workflow_scripts.common.files import digest, write_json

STOPPED_HOSTS = "stopped_hosts"
NAME_LENGTH = 16


@dataclass(frozen=True)
class Stopped:
    """What is noted of a host that was stopped, and has given no good answer since.

    Attributes:
        rate: requests a second by its policy when it banned a job for the second time; None when it did not.
    """

    rate: float | None = None


class StoppedHosts:
    """A file a host. Nobody waits for it or locks it: one that comes too late costs a few requests.

    Args:
        folder: where the files are; None keeps and knows nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def find(self, host: str) -> Stopped | None:
        """What some job noted of a host, if none has had a good answer since."""
        if self._folder is not None:
            with suppress(FileNotFoundError, ValueError, KeyError):
                return Stopped(json.loads(self._note(self._folder, host).read_text(encoding="utf-8"))["rate"])
        return None

    def add(self, host: str, rate: float | None = None) -> None:
        """Note that a host was stopped; `rate` as in `Stopped`."""
        if self._folder is not None:
            write_json(self._note(self._folder, host), {"host": host, "rate": rate})

    def remove(self, host: str) -> None:
        """Note that it answers again."""
        if self._folder is not None:
            with suppress(FileNotFoundError):
                self._note(self._folder, host).unlink()

    def _note(self, folder: Path, host: str) -> Path:
        return folder / f"{digest(host)[:NAME_LENGTH]}.json"
