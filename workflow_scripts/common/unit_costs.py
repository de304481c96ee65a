"""Costs of steps per million units, on one core or GPU, with their sources: `unit_costs.csv`."""

import csv
from dataclasses import dataclass
from pathlib import Path

from workflow_scripts.common.errors import InputError

COSTS = Path(__file__).with_name("unit_costs.csv")
HOUR = 3600
TRAINING = "train "
# Mean size of photographs as served by TreeOfLife's sources; the stored size is in the table.
BYTES_SERVED = 1_500_000


@dataclass(frozen=True)
class Cost:
    """Cost of a step.

    Attributes:
        step: stage and step.
        unit: unit of the work: images, labels, names, pairs, samples.
        seconds: seconds on one core (or GPU) per million units.
        on: `core` or `gpu`.
        jobs: maximum number of jobs that share the work: `parts`, `groups`, `screen`, or a number.
        memory_mb: peak memory of one job, MiB.
        kept_bytes: bytes on disk per unit.
        files: files on disk per million units.
        source: the benchmark or paper that the figures are from.
    """

    step: str
    unit: str
    seconds: float
    on: str
    jobs: str
    memory_mb: int
    kept_bytes: float
    files: float
    source: str


def read_costs(path: Path) -> list[Cost]:
    """Read the costs, in the order of the pipeline.

    Raises:
        InputError: a column is missing, or a value is not a number.
    """
    with path.open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    try:
        return [
            Cost(
                step=row["step"],
                unit=row["unit"],
                seconds=float(row["seconds"]),
                on=row["on"],
                jobs=row["jobs"],
                memory_mb=int(row["memory_mb"]),
                kept_bytes=float(row["kept_bytes"]),
                files=float(row["files"]),
                source=row["source"],
            )
            for row in found
        ]
    except (KeyError, ValueError) as error:
        raise InputError(f"{path}: not a valid table of costs: {error}") from None


def cost_of(step: str, costs: list[Cost]) -> Cost | None:
    """Cost of a step, or None if unknown."""
    return next((cost for cost in costs if cost.step == step), None)


def size_text(count: float) -> str:
    """A number of bytes with its unit, in powers of 1000."""
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.1f} PB"
