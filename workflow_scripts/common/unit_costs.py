"""What a million units of a step cost one core or GPU: `unit_costs.csv`, a line a step, with where it comes from."""

import csv
from dataclasses import dataclass
from pathlib import Path

from workflow_scripts.common.errors import InputError

COSTS = Path(__file__).with_name("unit_costs.csv")
HOUR = 3600
TRAINING = "train "
# Mean of photographs in TreeOfLife's sources, as served; as kept, it is in the table.
BYTES_SERVED = 1_500_000


@dataclass(frozen=True)
class Cost:
    """What a step costs.

    Attributes:
        step: the stage and the step.
        unit: what is counted: images, labels, names, pairs, samples.
        seconds: of one core (or one GPU), for a million units.
        on: `core` or `gpu`.
        jobs: how many jobs share the work at most: `parts`, `groups`, `screen`, or a number.
        memory_mb: the most that one job takes, MiB.
        kept_bytes: bytes that stay on disk, for a unit.
        files: files that stay on disk, for a million units.
        source: the bench row or the paper that the figures come from.
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
    """The costs in the order of the pipeline.

    Raises:
        InputError: a column is missing or a value is no number.
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
        raise InputError(f"{path}: not a table of costs: {error}") from None


def cost_of(step: str, costs: list[Cost]) -> Cost | None:
    """A step's cost, where it is known."""
    return next((cost for cost in costs if cost.step == step), None)


def size_text(count: float) -> str:
    """A number of bytes for people, in powers of 1000."""
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.1f} PB"
