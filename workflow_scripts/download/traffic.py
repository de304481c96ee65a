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
NAME_LENGTH = 16


@dataclass
class _Window:
    """The bodies of the last `seconds`, at most `limit` bytes of them."""

    seconds: float
    limit: float
    bodies: deque[tuple[float, int]] = field(default_factory=deque)
    total: int = 0

    def add(self, when: float, size: int) -> None:
        self.bodies.append((when, size))
        self.total += size

    def wait(self, now: float, expected: float) -> float:
        """Seconds until `expected` bytes more are within the limit, or nothing is left to wait for."""
        while self.bodies and self.bodies[0][0] <= now - self.seconds:
            self.total -= self.bodies.popleft()[1]
        left, ends = self.total, now
        for when, size in self.bodies:
            if left + expected <= self.limit:
                break
            left, ends = left - size, when + self.seconds
        return max(0.0, ends - now)


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
        self._largest = max(self._largest, size)
        for window in self._windows:
            window.add(when, size)

    def _look(self) -> None:
        if self._folder is None or time.monotonic() < self._looked_at + LOOK_SECONDS:
            return
        self._looked_at = time.monotonic()
        found: list[tuple[float, int]] = []
        longest = max(window.seconds for window in self._windows)
        for path in self._folder.glob("*.txt"):
            with suppress(FileNotFoundError):
                if path == self._own:
                    continue
                if path.stat().st_mtime < time.time() - longest:
                    path.unlink()
                    continue
                with path.open(encoding="ascii") as file:
                    file.seek(self._read.get(path, 0))
                    text = file.read()
                # A line that is being written is read the next time.
                whole = text.rpartition("\n")[0]
                self._read[path] = self._read.get(path, 0) + len(whole) + bool(whole)
                found += [(float(when), int(size)) for when, size in map(str.split, whole.splitlines())]
        for when, size in sorted(found):
            self._count(when, size)


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
