"""Record the cost of a job beside its log.

Snakemake's benchmark file has only a job's last run, so that a rerun that adopts finished work overwrites the cost of
the work. Here each run of a job appends a line, which says whether it did the work or adopted it.
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
"""Whether a run did its work, or adopted finished work."""

_found: set[Work] = set()


@dataclass(frozen=True)
class Attempt:
    """One run of a job, or of one process of a training.

    Attributes:
        started, ended: seconds since 1970.
        finished: whether it ended without an error.
        work: whether it did its work or adopted it.
        cpu_seconds: CPU time, including child processes.
        memory_mb: peak resident memory of the process or its largest child, MiB.
        gpus: number of GPUs used.
        gpu_memory_mb: peak memory on one GPU, MiB.
        host: host name.
        machine: processor, cores and GPU of the machine.
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
    """Note that this process did costly work, or adopted it."""
    _found.add(work)


@contextmanager
def written_down(log: Path | None) -> Iterator[None]:
    """Append the cost of the block to the file beside a log, if there is a log and the file is writable."""
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
    """Path of the cost file of a log; each process of a training has its own."""
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
        memory_mb=round(_peak_memory_mb(), 1),
        gpus=gpus,
        gpu_memory_mb=gpu_memory_mb,
        host=platform.node(),
        machine=", ".join(filter(None, [_processor(), f"{os.cpu_count()} cores", gpu])),
    )
    try:
        with file_of(log).open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(attempt)) + "\n")
    except OSError:
        # The step itself reports a full disk.
        return


_WHOSE = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)


def _cpu_seconds() -> float:
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, _WHOSE))


def _peak_memory_mb() -> float:
    """Peak resident memory of this process or of its largest child, MiB.

    Linux counts the memory of the process that started this one (Snakemake) in its own `ru_maxrss`; VmHWM does not.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        own = int(status.partition("VmHWM:")[2].split()[0])
    except (OSError, ValueError, IndexError):
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) / 1024


def _gpus() -> tuple[int, float, str]:
    """Number of GPUs used, peak memory on one (MiB), and their name."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return 0, 0.0, ""
    peaks = {number: torch.cuda.max_memory_reserved(number) / 2**20 for number in range(torch.cuda.device_count())}
    used = [number for number, memory_mb in peaks.items() if memory_mb]
    if not used:
        return 0, 0.0, ""
    return len(used), round(max(peaks.values()), 1), torch.cuda.get_device_name(used[0])


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def read_attempts(path: Path) -> list[Attempt]:
    """The runs of a job, in order; unreadable lines (from killed writers) are skipped."""
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
    """The last run that did the work, with the interrupted runs before it; else the last run.

    Runs that adopted the work are ignored, because they cost almost nothing.
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
