"""Hosts stopped by any job of a corpus, recorded in a shared folder."""

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from workflow_scripts.common.files import digest, write_json

STOPPED_HOSTS = "stopped_hosts"
NAME_LENGTH = 16


@dataclass(frozen=True)
class Stopped:
    """The record of a host that was stopped and has given no good answer since.

    Attributes:
        rate: requests per second by its policy when it was given up; None if it was not given up.
    """

    rate: float | None = None


class StoppedHosts:
    """One file per stopped host. There are no locks: a job that reads a record too late makes a few extra requests.

    Args:
        folder: where the files are; None for no records.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def find(self, host: str) -> Stopped | None:
        """The record of a host, or None."""
        if self._folder is not None:
            with suppress(FileNotFoundError, ValueError, KeyError):
                return Stopped(json.loads(self._file(self._folder, host).read_text(encoding="utf-8"))["rate"])
        return None

    def add(self, host: str, rate: float | None = None) -> None:
        """Record that a host was stopped; `rate` as in `Stopped`."""
        if self._folder is not None:
            write_json(self._file(self._folder, host), {"host": host, "rate": rate})

    def remove(self, host: str) -> None:
        """Remove the record of a host that serves images again."""
        if self._folder is not None:
            with suppress(FileNotFoundError):
                self._file(self._folder, host).unlink()

    def _file(self, folder: Path, host: str) -> Path:
        return folder / f"{digest(host)[:NAME_LENGTH]}.json"
