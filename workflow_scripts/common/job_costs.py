"""What a job cost, written down beside its log by the job itself.

Snakemake's benchmark file holds a job's last run only: a rerun that finds the work done overwrites what the work took.
Here each run of a job adds a line, and says whether it did the work or found it done.
"""

import json
import os
import platform
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

ENDING = ".costs.jsonl"
Work = Literal["done", "adopted"]
"""Whether a run did its work, or found all of it done before."""

_found: set[Work] = set()


@dataclass(frozen=True)
class Attempt:
    """One run of a job, or of one process of a training.

    Attributes:
        started, ended: seconds since 1970.
        finished: whether it came to its end.
        work: whether it did its work, or found it done.
        cpu_seconds: processor time, its children's too.
        memory_mb: most resident memory, its own or that of the largest child, MiB.
        gpus: how many GPUs it used.
        gpu_memory_mb: most memory that it held on one of them, MiB.
        host: the machine's name.
        machine: what the machine is: processor, cores, GPU.
    """

    started: float
    ended: float
    finished: bool
    work: Work
    cpu_seconds: float
    memory_mb: float
    gpus: int
    gpu_memory_mb: float
    host: str
    machine: str


def note(work: Work) -> None:
    """Say that this process did costly work, or found costly work done."""
    _found.add(work)


@contextmanager
def written_down(log: Path | None) -> Iterator[None]:
    """Add a line on what runs within to the file beside a log; without a log, or where it cannot be written, none."""
    started, before = time.time(), _cpu_seconds()
    _found.clear()
    finished = False
    try:
        yield
        finished = True
    finally:
        if log is not None:
            _add(log, started, before, finished)


def file_of(log: Path) -> Path:
    """The file beside a log; each process of a training has its own."""
    rank = os.environ.get("RANK", "0")
    return log.with_name(log.name.removesuffix(".log") + ("" if rank == "0" else f".rank{rank}") + ENDING)


def _add(log: Path, started: float, cpu_before: float, finished: bool) -> None:
    gpus, gpu_memory_mb, gpu = _gpus()
    attempt = Attempt(
        started=round(started, 3),
        ended=round(time.time(), 3),
        finished=finished,
        work="adopted" if _found == {"adopted"} else "done",
        cpu_seconds=round(_cpu_seconds() - cpu_before, 3),
        memory_mb=round(max(resource.getrusage(who).ru_maxrss for who in _WHOSE) / 1024, 1),
        gpus=gpus,
        gpu_memory_mb=gpu_memory_mb,
        host=platform.node(),
        machine=", ".join(filter(None, [_processor(), f"{os.cpu_count()} cores", gpu])),
    )
    try:
        with file_of(log).open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(attempt)) + "\n")
    except OSError:
        # A full disk, say: the step's own ending says so.
        return


_WHOSE = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)


def _cpu_seconds() -> float:
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, _WHOSE))


def _gpus() -> tuple[int, float, str]:
    """How many GPUs this process used, the most memory that it held on one, MiB, and what they are."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return 0, 0.0, ""
    held = {number: torch.cuda.max_memory_reserved(number) / 2**20 for number in range(torch.cuda.device_count())}
    used = [number for number, memory_mb in held.items() if memory_mb]
    if not used:
        return 0, 0.0, ""
    return len(used), round(max(held.values()), 1), torch.cuda.get_device_name(used[0])


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def read_attempts(path: Path) -> list[Attempt]:
    """The runs of a job, in order; lines that cannot be read (of a killed writer) are passed over."""
    found = []
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    for line in lines:
        try:
            found.append(Attempt(**json.loads(line)))
        except (ValueError, TypeError):
            continue
    return found


def that_did_the_work(attempts: list[Attempt]) -> list[Attempt]:
    """The last run that did the work, and before it those that it went on from; the last run of all where none did.

    A run that found the work done cost next to nothing, and does not take the place of the one that did it.
    """
    last = next(
        (n for n in reversed(range(len(attempts))) if attempts[n].finished and attempts[n].work == "done"), None
    )
    if last is None:
        return attempts[-1:]
    first = last
    while first and not attempts[first - 1].finished:
        first -= 1
    return attempts[first : last + 1]
