"""What each step cost, from the benchmark files that Snakemake wrote beside its logs."""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# Steps of many jobs end in the name of a generation, a part, a group of shards, or what made a shared folder.
NUMBERED = re.compile(r"(?:^|[-./])(?:g\d{3}|(?:part|group)-\d+|[0-9a-f]{8})(?=[-./]|$)")
# Below these, files are named by models, benchmarks and variants.
GATHERED = (
    *(f"evaluate/{step}" for step in ("embed", "searches", "scores", "intrinsic", "tsne")),
    "ablations",
    "benchmarks",
)


@dataclass(frozen=True)
class Cost:
    """What the last runs of a step's jobs cost.

    Attributes:
        step: its name, from where its log lies.
        jobs: how many jobs.
        seconds: wall time of all jobs together.
        longest: of the longest job, seconds.
        cpu_seconds: processor time of all jobs; None where it was not measured.
        memory_mb: most resident memory of any job, MiB; None where no job ran long enough to be measured.
        read_mb: read from disk, MiB.
        written_mb: written to disk, MiB.
    """

    step: str
    jobs: int
    seconds: float
    longest: float
    cpu_seconds: float | None
    memory_mb: float | None
    read_mb: float | None
    written_mb: float | None


def read_costs(own: Sequence[Path], shared: Path | None = None, made: Sequence[str] = ()) -> list[Cost]:
    """Costs by step, the longest first; files that cannot be read are passed over.

    Args:
        own: folders of logs that belong to the corpus and the run.
        shared: the folder of logs of what several have in common.
        made: names of the folders that this run takes from there; the others' jobs do not count.
    """
    found = [(path.relative_to(folder), path) for folder in own for path in sorted(folder.rglob("*.tsv"))]
    if shared is not None:
        stems = tuple(stem for name in made for stem in (f"{name}.", f"fetch-{name}."))
        files = sorted(path for path in shared.rglob("*.tsv") if path.name.startswith(stems))
        found += [(path.relative_to(shared), path) for path in files]
    jobs: dict[str, list[dict[str, str]]] = {}
    for name, path in found:
        # The last line is the last attempt's.
        if rows := _rows(path):
            jobs.setdefault(step_of(name.with_suffix("")), []).append(rows[-1])
    return sorted((_cost(step, rows) for step, rows in jobs.items()), key=lambda cost: (-cost.seconds, cost.step))


def step_of(name: Path) -> str:
    """The step that a benchmark file belongs to: its path without what numbers jobs."""
    text = name.as_posix()
    gathered = next((step for step in GATHERED if text.startswith(f"{step}/")), None)
    return gathered or NUMBERED.sub("", text).strip("/.-")


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [row for row in csv.DictReader(file, delimiter="\t") if _number(row.get("s")) is not None]
    except (OSError, UnicodeDecodeError, csv.Error):
        return []


def _cost(step: str, rows: Sequence[dict[str, str]]) -> Cost:
    def values(column: str) -> list[float]:
        return [value for row in rows if (value := _number(row.get(column))) is not None]

    def total(column: str) -> float | None:
        return sum(values(column)) if values(column) else None

    seconds = values("s")
    return Cost(
        step,
        len(rows),
        sum(seconds),
        max(seconds),
        total("cpu_time"),
        max(values("max_rss"), default=None),
        total("io_in"),
        total("io_out"),
    )


def _number(text: str | None) -> float | None:
    """A measured value; Snakemake writes `NA` or `-` where it has none."""
    try:
        return float(text or "")
    except ValueError:
        return None
