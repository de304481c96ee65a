"""What hosts have sent lately to all jobs of a corpus, for hosts that permit so many bytes an hour or a day.

Each job notes what it received in a file of its own, and reads those of the others: so a limit holds over jobs at the
same time, one after the other, and again after a kill.
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
# The policy's limits, and the seconds that each is for.
WINDOWS = {"gb_per_hour": 3600.0, "gb_per_day": 86_400.0}
# How often it is looked for what other jobs received.
LOOK_SECONDS = 0.05
# Bodies within this share of a window are summed, and leave it together: so a window has at most 1,001 entries.
STEP_SHARE = 0.001
NAME_LENGTH = 16


@dataclass(slots=True)
class _Step:
    """Bodies that are counted at the time of the last of them, never too early."""

    began: float
    last: float
    size: int

    def add(self, when: float, size: int) -> None:
        self.last = max(self.last, when)
        self.size += size


@dataclass
class _Window:
    """The bodies of the last `seconds`, at most `limit` bytes of them."""

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
        """Seconds until `expected` bytes more are within the limit, or nothing is left to wait for."""
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
        limits: bytes by the seconds that they are for.
        folder: where jobs note them; None: this job's alone count.
    """

    def __init__(self, limits: dict[float, float], folder: Path | None) -> None:
        self._windows = [_Window(seconds, limit) for seconds, limit in limits.items()]
        self._largest = 0
        self._folder = folder
        self._own = folder / f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}.txt" if folder else None
        self._read: dict[Path, int] = {}
        self._looked_at = -LOOK_SECONDS
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def add(self, size: int) -> None:
        """A body, or the part of it that was read."""
        now = time.time()
        self._largest = max(self._largest, size)
        self._count(now, size)
        if self._own is not None:
            with self._own.open("a", encoding="ascii") as file:
                file.write(f"{now:.3f} {size}\n")

    def wait(self, in_flight: int) -> float:
        """Seconds until another request may begin beside `in_flight` others, which may be as large as any so far."""
        self._look()
        if in_flight and not self._largest:
            return LOOK_SECONDS
        now = time.time()
        return max(window.wait(now, (in_flight + 1) * self._largest) for window in self._windows)

    def _count(self, when: float, size: int) -> None:
        for window in self._windows:
            window.add(when, size)

    def _look(self) -> None:
        if self._folder is None or time.monotonic() < self._looked_at + LOOK_SECONDS:
            return
        self._looked_at = time.monotonic()
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
                    self._read[path] = file.seek(self._read.get(path, 0))
                    for line in file:
                        # A line that is being written is read the next time.
                        if not line.endswith(b"\n"):
                            break
                        self._read[path] += len(line)
                        when, size = float(line.split()[0]), int(line.split()[1])
                        self._largest = max(self._largest, size)
                        found.setdefault(int(when / (STEP_SHARE * min(seconds))), _Step(when, when, 0)).add(when, size)
        for _, step in sorted(found.items()):
            self._count(step.last, step.size)


class Traffic:
    """The bytes of all hosts whose policy limits them.

    Args:
        folder: where the jobs of a corpus note them; None: this job's alone count.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def of(self, host: str, policy: HostLimits) -> HostTraffic | None:
        """The bytes of a host; None where its policy does not limit them."""
        limits = {
            seconds: getattr(policy, name) * GIGABYTE for name, seconds in WINDOWS.items() if getattr(policy, name)
        }
        folder = self._folder / digest(host)[:NAME_LENGTH] if self._folder else None
        return HostTraffic(limits, folder) if limits else None
