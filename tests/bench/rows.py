"""A row of the bench, and how a command is measured."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

MeasuredValues = tuple[str, float, str, str, float]
"""A row's name, value, unit, peer and the peer's value."""


@dataclass(frozen=True)
class Row:
    """One measurement beside its peer.

    Attributes:
        name: what was measured.
        value: how much, in `unit`.
        unit: the unit of both values.
        peer: what it is held against.
        peer_value: the peer's measurement in the same run.
    """

    name: str
    value: float
    unit: str
    peer: str
    peer_value: float

    @property
    def ratio(self) -> float:
        """value / peer_value."""
        return self.value / self.peer_value


@dataclass(frozen=True)
class Measured:
    """What a command took: wall seconds and the peak of its resident memory, MiB."""

    seconds: float
    peak_mb: float
    output: str


def measured(words: Sequence[str]) -> Measured:
    """Run a command and measure it.

    Raises:
        RuntimeError: it failed.
    """
    started = time.perf_counter()
    with (
        tempfile.TemporaryFile("w+") as complaints,
        subprocess.Popen(words, stdout=subprocess.PIPE, stderr=complaints, text=True) as process,
    ):
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            complaints.seek(0)
            raise RuntimeError(f"exit status {process.returncode}: {' '.join(words)}\n{complaints.read()}")
    return Measured(time.perf_counter() - started, usage.ru_maxrss / 1024, output)


def printed_by(script: Path, *words: str) -> Any:
    """What a bench that runs in a process of its own prints last, as JSON."""
    command = [sys.executable, str(script), *words]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    printed = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    return json.loads(printed.splitlines()[-1])


def peak_mb() -> float:
    """The peak of this process's resident memory, MiB.

    Of its own memory alone: what `getrusage` tells begins with the peak of the process that started this one.
    """
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmHWM"].split()[0]) / 1024
