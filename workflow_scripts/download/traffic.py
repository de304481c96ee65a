"""The bytes received lately from each host by all jobs of a corpus, for hosts with a limit per hour or day.

Each job appends its received bytes to its own file and reads the others' files, so that a limit holds across
simultaneous, successive and killed jobs.
"""

import os
import socket
import time
import uuid
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from workflow_scripts.common.config.download import HostLimits
from workflow_scripts.common.files import digest

TRAFFIC = "traffic"
GIGABYTE = 1e9
# The policy's limits and the length of each one's window in seconds.
WINDOWS = {"gb_per_hour": 3600.0, "gb_per_day": 86_400.0}
# Minimum time between two reads of the other jobs' files.
READ_INTERVAL_SECONDS = 0.05
# Bodies within this share of a window are summed, and leave it together, so that it has at most 1,001 entries.
STEP_SHARE = 0.001
NAME_LENGTH = 16


@dataclass(slots=True)
class _Step:
    """Bodies counted together. They leave the window at the time of the last one, never too early."""

    began: float
    last: float
    size: int

    def add(self, when: float, size: int) -> None:
        self.last = max(self.last, when)
        self.size += size


@dataclass
class _Window:
    """The bodies of the last `seconds`, limited to `limit` bytes."""

    seconds: float
    limit: float
    steps: deque[_Step] = field(default_factory=deque)
    total: int = 0

    def add(self, when: float, size: int) -> None:
        self._drop(when)
        if self.steps and when < self.steps[-1].began + STEP_SHARE * self.seconds:
            self.steps[-1].add(when, size)
        else:
            self.steps.append(_Step(when, when, size))
        self.total += size

    def wait(self, now: float, expected: float) -> float:
        """Seconds until `expected` more bytes are within the limit, or the window is empty."""
        self._drop(now)
        left, ends = self.total, now
        for step in self.steps:
            if left + expected <= self.limit:
                break
            left, ends = left - step.size, step.last + self.seconds
        return max(0.0, ends - now)

    def _drop(self, now: float) -> None:
        while self.steps and self.steps[0].last <= now - self.seconds:
            self.total -= self.steps.popleft().size


class HostTraffic:
    """The bytes of one host.

    Args:
        limits: bytes by window length in seconds.
        folder: where the jobs record them; None to count this job's only.
    """

    def __init__(self, limits: dict[float, float], folder: Path | None) -> None:
        self._windows = [_Window(seconds, limit) for seconds, limit in limits.items()]
        self._largest = 0
        self._folder = folder
        self._own = folder / f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}.txt" if folder else None
        self._offsets: dict[Path, int] = {}
        self._read_at = -READ_INTERVAL_SECONDS
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def add(self, size: int) -> None:
        """Count the bytes of a body, or of the part of it that was read."""
        now = time.time()
        self._largest = max(self._largest, size)
        self._count(now, size)
        if self._own is not None:
            with self._own.open("a", encoding="ascii") as file:
                file.write(f"{now:.3f} {size}\n")

    def wait(self, in_flight: int) -> float:
        """Seconds until the next request may start, if its body and the `in_flight` others' are the largest so far."""
        self._read_others()
        if in_flight and not self._largest:
            return READ_INTERVAL_SECONDS
        now = time.time()
        return max(window.wait(now, (in_flight + 1) * self._largest) for window in self._windows)

    def _count(self, when: float, size: int) -> None:
        for window in self._windows:
            window.add(when, size)

    def _read_others(self) -> None:
        if self._folder is None or time.monotonic() < self._read_at + READ_INTERVAL_SECONDS:
            return
        self._read_at = time.monotonic()
        found: dict[int, _Step] = {}
        seconds = [window.seconds for window in self._windows]
        for path in self._folder.glob("*.txt"):
            with suppress(FileNotFoundError):
                if path == self._own:
                    continue
                if path.stat().st_mtime < time.time() - max(seconds):
                    path.unlink()
                    continue
                with path.open("rb") as file:
                    self._offsets[path] = file.seek(self._offsets.get(path, 0))
                    for line in file:
                        # An incomplete line is read next time.
                        if not line.endswith(b"\n"):
                            break
                        self._offsets[path] += len(line)
                        when, size = float(line.split()[0]), int(line.split()[1])
                        self._largest = max(self._largest, size)
                        found.setdefault(int(when / (STEP_SHARE * min(seconds))), _Step(when, when, 0)).add(when, size)
        for _, step in sorted(found.items()):
            self._count(step.last, step.size)


class Traffic:
    """The bytes of all hosts whose policy limits them.

    Args:
        folder: where the jobs of a corpus record them; None to count this job's only.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def of(self, host: str, policy: HostLimits) -> HostTraffic | None:
        """The bytes of a host; None if its policy does not limit them."""
        limits = {
            seconds: getattr(policy, name) * GIGABYTE for name, seconds in WINDOWS.items() if getattr(policy, name)
        }
        folder = self._folder / digest(host)[:NAME_LENGTH] if self._folder else None
        return HostTraffic(limits, folder) if limits else None
