"""Rows of benches, measurement of commands, and benches in separate processes that print their rows."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).resolve().parents[2]
SMALL = bool(os.environ.get("SMALL"))
"""Whether benches run at a tiny size, which shows that they work and measures nothing."""

MeasuredValues = tuple[str, float, str, str, float]
"""A row's name, value, unit, peer and the peer's value."""

Size = TypeVar("Size")


def sized(full: Size, small: Size) -> Size:
    """The size of a bench: `full`, or `small` with SMALL=1 in the environment."""
    return small if SMALL else full


TORCH_THREADS = sized(2, 1)
"""Threads of benches that use torch."""


@dataclass(frozen=True)
class Row:
    """One measurement beside its peer.

    Attributes:
        name: name of the measurement.
        value: measured value.
        unit: unit of both values.
        peer: what it is compared with.
        peer_value: the peer's value in the same run.
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
    """Wall seconds and peak resident memory (MiB) of a command."""

    seconds: float
    peak_mb: float
    output: str


def measured(words: Sequence[str]) -> Measured:
    """Run a command and measure it.

    Raises:
        RuntimeError: the command failed.
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


def printed_by(script: Path, *words: str, threads: int | None = None) -> Iterator[Any]:
    """Run a script in a separate process, to measure its own memory, and yield the JSON values it prints, one per line.

    Raises:
        RuntimeError: the script failed.
    """
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    if threads is not None:
        environment["OMP_NUM_THREADS"] = str(threads)
    command = [sys.executable, str(script), *words]
    with (
        tempfile.TemporaryFile("w+") as complaints,
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=complaints, text=True) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            yield json.loads(line)
        if process.wait():
            complaints.seek(0)
            raise RuntimeError(f"exit status {process.returncode}: {' '.join(command)}\n{complaints.read()}")


def print_rows(benches: Sequence[Callable[..., Iterable[Any]]]) -> None:
    """Main function of a script that `printed_by` runs.

    Its first word names one or more of `benches`, separated by commas; they are given the other words, and what they
    yield is printed as JSON, a line each.
    """
    names, *words = sys.argv[1:]
    known = {bench.__name__: bench for bench in benches}
    for name in names.split(","):
        for values in known[name](*words):
            sys.stdout.write(json.dumps(values) + "\n")
            sys.stdout.flush()


def peak_mb() -> float:
    """The peak of this process's resident memory, MiB.

    Of its own memory alone: what `getrusage` tells begins with the peak of the process that started this one.
    """
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmHWM"].split()[0]) / 1024
