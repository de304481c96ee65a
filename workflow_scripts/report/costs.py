"""Cost of each step, from the records that jobs write beside their logs and from Snakemake's benchmark files."""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from workflow_scripts.common.job_costs import ENDING, Attempt, read_attempts, that_did_the_work

Owner = Literal["run", "corpus", "shared"]
"""What the work belongs to: this run, its corpus (shared by the corpus's runs), or inputs shared by all runs."""

# The part of a job's name that tells it from others of its step: a generation, part, group of shards, or digest.
NUMBERED = re.compile(r"(?:^|[-./])(?:g\d{3}|(?:part|group)-\d+|[0-9a-f]{8})(?=[-./]|$)")
# Steps whose jobs are named by model, benchmark and variant.
GATHERED = (
    *(f"evaluate/{step}" for step in ("embed", "searches", "scores", "intrinsic", "tsne")),
    "ablations",
    "benchmarks",
)

BENCHMARK = ".tsv"
# Largest difference between two machines' clocks.
SKEW_SECONDS = 120


@dataclass(frozen=True)
class Cost:
    """Cost of a step's jobs, or of several steps together.

    A rerun that adopts finished work keeps the cost of the attempt that did the work. If that attempt left no record
    (another run or an older release did the work), the job counts as `adopted`, with the cost of the adoption.

    Attributes:
        step: name of the step, from the path of its log.
        owner: what the work belongs to.
        jobs: number of jobs.
        adopted: number of jobs that adopted work without a record.
        seconds: wall time, summed over jobs.
        longest: wall time of the longest job, seconds.
        cpu_seconds: CPU time, summed over jobs; None if it was not measured.
        gpu_seconds: GPU time, summed over jobs and GPUs.
        memory_mb: peak resident memory of any one job, MiB; None if no job ran long enough to be measured.
        gpu_memory_mb: peak memory of any one GPU, MiB.
        read_mb: data read from disk, MiB.
        written_mb: data written to disk, MiB.
        started, ended: start of the first and end of the last job, seconds since 1970; None if unknown.
        machines: description of each machine, by host.
        folders: wall time by folder of shared inputs, seconds; empty for other work.
    """

    step: str
    owner: Owner
    jobs: int
    adopted: int
    seconds: float
    longest: float
    cpu_seconds: float | None
    gpu_seconds: float
    memory_mb: float | None
    gpu_memory_mb: float
    read_mb: float | None
    written_mb: float | None
    started: float | None
    ended: float | None
    machines: dict[str, str]
    folders: dict[str, float] = field(default_factory=dict)

    @property
    def hosts_by_machine(self) -> dict[str, list[str]]:
        """Hosts by description of the machine, the most common machine first."""
        found: dict[str, list[str]] = {}
        for host, machine in sorted(self.machines.items()):
            found.setdefault(machine, []).append(host)
        return dict(sorted(found.items(), key=lambda item: (-len(item[1]), item[0])))


def read_costs(
    folders: Sequence[tuple[Owner, Path]], shared: Path | None = None, made: Sequence[str] = ()
) -> list[Cost]:
    """Read the costs by step, the longest first; unreadable files are skipped.

    Args:
        folders: log folders, each with what its jobs belong to.
        shared: log folder of the shared inputs.
        made: names of the shared folders that this run uses; jobs of others do not count.
    """
    found = [_of_job(job, owner) for owner, folder in folders for job in _jobs(folder)]
    for job in _jobs(shared) if shared is not None else ():
        used = next((name for name in made if f"{job.name}.".startswith((f"{name}.", f"fetch-{name}."))), None)
        if used is not None and (cost := _of_job(job, "shared")) is not None:
            found.append(replace(cost, folders={used: cost.seconds}))
    by_step: dict[tuple[Owner, str], list[Cost]] = {}
    for cost in filter(None, found):
        by_step.setdefault((cost.owner, cost.step), []).append(cost)
    costs = [together(of_step, step, owner) for (owner, step), of_step in by_step.items()]
    return sorted(costs, key=lambda cost: (-cost.seconds, cost.step))


def together(costs: Sequence[Cost], step: str, owner: Owner) -> Cost:
    """Add up several costs."""
    return Cost(
        step=step,
        owner=owner,
        jobs=sum(cost.jobs for cost in costs),
        adopted=sum(cost.adopted for cost in costs),
        seconds=sum(cost.seconds for cost in costs),
        longest=max(cost.longest for cost in costs),
        cpu_seconds=_sum(cost.cpu_seconds for cost in costs),
        gpu_seconds=sum(cost.gpu_seconds for cost in costs),
        memory_mb=max((cost.memory_mb for cost in costs if cost.memory_mb is not None), default=None),
        gpu_memory_mb=max(cost.gpu_memory_mb for cost in costs),
        read_mb=_sum(cost.read_mb for cost in costs),
        written_mb=_sum(cost.written_mb for cost in costs),
        started=min((cost.started for cost in costs if cost.started is not None), default=None),
        ended=max((cost.ended for cost in costs if cost.ended is not None), default=None),
        machines={host: machine for cost in costs for host, machine in cost.machines.items()},
        folders=_by_folder(costs),
    )


def totals(costs: Sequence[Cost]) -> dict[str, Cost]:
    """Total cost as `all`, and by owner for those that have any."""
    owners: dict[str, Owner] = {"run": "run", "corpus": "corpus", "shared": "shared"}
    parts = {"all": costs} | {name: [cost for cost in costs if cost.owner == owner] for name, owner in owners.items()}
    return {name: together(some, name, owners.get(name, "run")) for name, some in parts.items() if some}


def _by_folder(costs: Sequence[Cost]) -> dict[str, float]:
    """Wall time by folder of shared inputs, seconds."""
    seconds: dict[str, float] = {}
    for cost in costs:
        for folder, of_job in cost.folders.items():
            seconds[folder] = seconds.get(folder, 0.0) + of_job
    return seconds


def _sum(values: Iterable[float | None]) -> float | None:
    """The sum of the measured values; None if there are none."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


@dataclass(frozen=True)
class _Job:
    """A job's cost files: their path without suffix, their name without suffix, and the path within the log folder."""

    path: Path
    name: str
    within: Path

    def file(self, ending: str) -> Path:
        return self.path.with_name(self.name + ending)


def _jobs(folder: Path) -> Iterator[_Job]:
    found = {path.with_name(path.name.removesuffix(BENCHMARK)) for path in folder.rglob(f"*{BENCHMARK}")}
    others = (path.with_name(path.name.removesuffix(ENDING)) for path in folder.rglob(f"*{ENDING}"))
    # Records of a training's other ranks belong to its main rank's job.
    found |= {path for path in others if not RANK.search(path.name)}
    for path in sorted(found):
        yield _Job(path, path.name, path.relative_to(folder))


RANK = re.compile(r"\.rank\d+$")


def _of_job(job: _Job, owner: Owner) -> Cost | None:
    measured, attempts = _measured(job.file(BENCHMARK)), read_attempts(job.file(ENDING))
    chosen = that_did_the_work(attempts)
    if not chosen and measured is None:
        return None
    ranks = [one for path in job.path.parent.glob(f"{job.name}.rank*{ENDING}") for one in read_attempts(path)]
    processes = [*chosen, *(one for one in ranks if _overlaps(one, chosen))]
    # Snakemake's file covers the last attempt only, and all processes of the job together.
    of_last = measured if measured and (not chosen or chosen == attempts[-1:]) else {}
    seconds = sum(one.ended - one.started for one in chosen) or (measured or {}).get("s") or 0.0
    memory = [one.memory_mb for one in processes] + [
        value for name, value in of_last.items() if name == "max_rss" and value
    ]
    return Cost(
        step=step_of(job.within),
        owner=owner,
        jobs=1,
        adopted=int(bool(chosen) and chosen[-1].work == "adopted"),
        seconds=seconds,
        longest=seconds,
        cpu_seconds=sum(one.cpu_seconds for one in processes) if chosen else of_last.get("cpu_time"),
        gpu_seconds=sum(one.gpus * (one.ended - one.started) for one in processes),
        memory_mb=max(memory, default=None),
        gpu_memory_mb=max((one.gpu_memory_mb for one in processes), default=0.0),
        read_mb=of_last.get("io_in"),
        written_mb=of_last.get("io_out"),
        started=min((one.started for one in chosen), default=None),
        ended=max((one.ended for one in chosen), default=None),
        machines={one.host: one.machine for one in processes},
    )


def _overlaps(one: Attempt, others: Sequence[Attempt]) -> bool:
    """Whether a process ran at the same time as others, allowing for clock skew."""
    return bool(others) and (
        one.ended >= others[0].started - SKEW_SECONDS and one.started <= others[-1].ended + SKEW_SECONDS
    )


def step_of(name: Path) -> str:
    """The step that a cost file belongs to: its path without the parts that number jobs."""
    text = name.as_posix()
    gathered = next((step for step in GATHERED if text.startswith(f"{step}/")), None)
    return gathered or NUMBERED.sub("", text).strip("/.-")


def _measured(path: Path) -> dict[str, float | None] | None:
    """Snakemake's measurements of a job's last attempt; None if the file is missing or has no time."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file, delimiter="\t") if _number(row.get("s")) is not None]
    except (OSError, UnicodeDecodeError, csv.Error):
        return None
    return {name: _number(value) for name, value in rows[-1].items()} if rows else None


def _number(text: str | None) -> float | None:
    """A measured value; None for Snakemake's `NA` and `-`."""
    try:
        return float(text or "")
    except ValueError:
        return None
