"""What each step cost: by what its jobs wrote down themselves, and the benchmark files that Snakemake wrote beside."""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from workflow_scripts.common.job_costs import ENDING, Attempt, read_attempts, that_did_the_work

Owner = Literal["run", "corpus", "shared"]
"""Whose work it is: this run's, its corpus's, which other runs share, or that of folders which anybody shares."""

# Steps of many jobs end in the name of a generation, a part, a group of shards, or what made a shared folder.
NUMBERED = re.compile(r"(?:^|[-./])(?:g\d{3}|(?:part|group)-\d+|[0-9a-f]{8})(?=[-./]|$)")
# Below these, files are named by models, benchmarks and variants.
GATHERED = (
    *(f"evaluate/{step}" for step in ("embed", "searches", "scores", "intrinsic", "tsne")),
    "ablations",
    "benchmarks",
)

BENCHMARK = ".tsv"
# Of the clocks of two machines.
SKEW_SECONDS = 120


@dataclass(frozen=True)
class Cost:
    """What a step's jobs cost, or some steps' together.

    A job that was run again and found its work done counts what the work took. Where the job that did it left no word
    (it was another run's, or of an older release), it counts among `adopted`.

    Attributes:
        step: its name, from where its log lies.
        owner: whose it is.
        jobs: how many jobs.
        adopted: how many of them found their work done by others.
        seconds: wall time of all jobs together.
        longest: of the longest job, seconds.
        cpu_seconds: processor time of all jobs; None where it was not measured.
        gpu_seconds: time of all jobs on GPUs, each GPU counted.
        memory_mb: most resident memory of any job, MiB; None where no job ran long enough to be measured.
        gpu_memory_mb: most memory of any GPU, MiB.
        read_mb: read from disk, MiB.
        written_mb: written to disk, MiB.
        started, ended: first and last second of any job, seconds since 1970; None where they are not known.
        machines: what ran them, by host.
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


def read_costs(
    folders: Sequence[tuple[Owner, Path]], shared: Path | None = None, made: Sequence[str] = ()
) -> list[Cost]:
    """Costs by step, the longest first; files that cannot be read are passed over.

    Args:
        folders: folders of logs, and whose they are.
        shared: the folder of logs of what several have in common.
        made: names of the folders that this run takes from there; the others' jobs do not count.
    """
    jobs = [(owner, job) for owner, folder in folders for job in _jobs(folder)]
    if shared is not None:
        stems = tuple(stem for name in made for stem in (f"{name}.", f"fetch-{name}."))
        jobs += [("shared", job) for job in _jobs(shared) if f"{job.name}.".startswith(stems)]
    by_step: dict[tuple[Owner, str], list[Cost]] = {}
    for owner, job in jobs:
        if (cost := _of_job(job, owner)) is not None:
            by_step.setdefault((owner, cost.step), []).append(cost)
    costs = [together(of_step, step, owner) for (owner, step), of_step in by_step.items()]
    return sorted(costs, key=lambda cost: (-cost.seconds, cost.step))


def together(costs: Sequence[Cost], step: str, owner: Owner) -> Cost:
    """Several costs as one."""
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
    )


def totals(costs: Sequence[Cost]) -> dict[str, Cost]:
    """All costs together as `all`, and those of each owner, of whom there are any."""
    owners: dict[str, Owner] = {"run": "run", "corpus": "corpus", "shared": "shared"}
    parts = {"all": costs} | {name: [cost for cost in costs if cost.owner == owner] for name, owner in owners.items()}
    return {name: together(some, name, owners.get(name, "run")) for name, some in parts.items() if some}


def _sum(values: Iterable[float | None]) -> float | None:
    """The sum of what was measured; None where nothing was."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


@dataclass(frozen=True)
class _Job:
    """Where a job of a folder of logs wrote what it cost: its path without an ending, and within the folder."""

    path: Path
    name: str
    within: Path

    def file(self, ending: str) -> Path:
        return self.path.with_name(self.name + ending)


def _jobs(folder: Path) -> Iterator[_Job]:
    found = {path.with_name(path.name.removesuffix(BENCHMARK)) for path in folder.rglob(f"*{BENCHMARK}")}
    others = (path.with_name(path.name.removesuffix(ENDING)) for path in folder.rglob(f"*{ENDING}"))
    # The other processes of a training are of its job.
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
    # Snakemake's file is of the last run; it measures all of a job's processes together.
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
    """Whether a process ran at the time of others, by clocks that may differ."""
    return bool(others) and (
        one.ended >= others[0].started - SKEW_SECONDS and one.started <= others[-1].ended + SKEW_SECONDS
    )


def step_of(name: Path) -> str:
    """The step that a benchmark file belongs to: its path without what numbers jobs."""
    text = name.as_posix()
    gathered = next((step for step in GATHERED if text.startswith(f"{step}/")), None)
    return gathered or NUMBERED.sub("", text).strip("/.-")


def _measured(path: Path) -> dict[str, float | None] | None:
    """What a job's last run was measured to take; None where the file is not there, or tells no time."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file, delimiter="\t") if _number(row.get("s")) is not None]
    except (OSError, UnicodeDecodeError, csv.Error):
        return None
    return {name: _number(value) for name, value in rows[-1].items()} if rows else None


def _number(text: str | None) -> float | None:
    """A measured value; Snakemake writes `NA` or `-` where it has none."""
    try:
        return float(text or "")
    except ValueError:
        return None
