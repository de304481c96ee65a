"""What each step cost, from the benchmark files that Snakemake wrote beside its logs."""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl


# Steps of many jobs end in the name of a generation, a part, a group of shards, or what made a shared folder.
NUMBERED = re.compile(r"(?:^|[-./])(?:g\d{3}|(?:part|group)-\d+|[0-9a-f]{8})(?=[-./]|$)")
# Below these, files are named by models, benchmarks and variants.
GATHERED = (
    *(f"evaluate/{step}" for step in ("embed", "searches", "scores", "intrinsic", "tsne")),
    "ablations",
    "benchmarks",
)

# Columns of a benchmark file that count.
MEASURED = ("s", "cpu_time", "max_rss", "io_in", "io_out")


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
    import polars as pl

    found = [(path.relative_to(folder), path) for folder in own for path in sorted(folder.rglob("*.tsv"))]
    if shared is not None:
        stems = tuple(stem for name in made for stem in (f"{name}.", f"fetch-{name}."))
        files = sorted(path for path in shared.rglob("*.tsv") if path.name.startswith(stems))
        found += [(path.relative_to(shared), path) for path in files]
    jobs = [{"step": step_of(name.with_suffix("")), **row} for name, path in found if (row := _last_row(path))]
    frame = pl.DataFrame(jobs, schema={"step": str} | dict.fromkeys(MEASURED, float))
    costs = frame.group_by("step").agg(
        pl.len().alias("jobs"),
        pl.col("s").sum().alias("seconds"),
        pl.col("s").max().alias("longest"),
        _total("cpu_time").alias("cpu_seconds"),
        pl.col("max_rss").max().alias("memory_mb"),
        _total("io_in").alias("read_mb"),
        _total("io_out").alias("written_mb"),
    )
    return [Cost(**row) for row in costs.sort("seconds", "step", descending=[True, False]).iter_rows(named=True)]


def _total(column: str) -> "pl.Expr":
    """The sum of what was measured; null where nothing was."""
    import polars as pl

    return pl.when(pl.col(column).count() > 0).then(pl.col(column).sum())


def step_of(name: Path) -> str:
    """The step that a benchmark file belongs to: its path without what numbers jobs."""
    text = name.as_posix()
    gathered = next((step for step in GATHERED if text.startswith(f"{step}/")), None)
    return gathered or NUMBERED.sub("", text).strip("/.-")


def _last_row(path: Path) -> dict[str, float | None] | None:
    """What the last attempt was measured to take; None where the file tells no time."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file, delimiter="\t") if _number(row.get("s")) is not None]
    except (OSError, UnicodeDecodeError, csv.Error):
        return None
    return {name: _number(rows[-1].get(name)) for name in MEASURED} if rows else None


def _number(text: str | None) -> float | None:
    """A measured value; Snakemake writes `NA` or `-` where it has none."""
    try:
        return float(text or "")
    except ValueError:
        return None
