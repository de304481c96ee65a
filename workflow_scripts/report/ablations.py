"""The papers' ablations as tables: what replay keeps, with one projector and with two; text types against each other.

In: score files `.../TESTED/VARIANT/BENCHMARK.json`, where VARIANT is `<variant>.<seed>`, or `start`, which nothing
trained. Out: every score in one table, as CSV and as parquet; the two tables themselves on the terminal.
"""

import sys
from collections.abc import Iterable, Sequence
from csv import DictWriter
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, pstdev

from workflow_scripts.common.cli import run
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import whole
from workflow_scripts.common.tables import write_rows
from workflow_scripts.contracts import INTEGER, REAL, TEXT_TYPES, Column, Contract
from workflow_scripts.report.scores import MAIN_METRIC, read_scores

ABLATIONS = Contract(
    "one variant's zero-shot top-1 on one benchmark",
    (
        Column("variant"),
        Column("seed", INTEGER, null=True),
        Column("benchmark"),
        Column("tested"),
        Column("top1", REAL),
    ),
    key=("variant", "seed", "benchmark", "tested"),
)
"""`tested` is the text type of the classes' names, or `captions`; `seed` is null where nothing was trained."""

START = "start"
CAPTIONS = "captions"
REPLAY_VARIANTS = (START, "no_replay", "one_projector", "two_projectors")
# The recipe itself, which draws from all text types.
MIX = "two_projectors"


@dataclass(frozen=True)
class Scored:
    """One score."""

    variant: str
    seed: int | None
    benchmark: str
    tested: str
    top1: float


def ablations(*, scores: tuple[Path, ...], csv: Path, parquet: Path) -> None:
    """Write all scores, and print the two tables.

    Args:
        scores: the score files.
        csv: where all of them go as CSV.
        parquet: where they go as parquet.

    Raises:
        InputError: a score file is missing or unreadable, has no zero-shot top-1, or lies in no variant's folder.
    """
    found = [_scored(path) for path in scores]
    rows = [asdict(one) for one in found]
    write_rows(rows, ABLATIONS, parquet)
    with whole(csv) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        table = DictWriter(file, [column.name for column in ABLATIONS.columns])
        table.writeheader()
        table.writerows(rows)
    for lines in (forgetting(found), text_types(found)):
        sys.stdout.write("\n".join(lines) + "\n\n")


def _scored(path: Path) -> Scored:
    *_, tested, name, benchmark = path.absolute().with_suffix("").parts
    variant, _, seed = name.rpartition(".") if name != START else (START, "", "")
    if name != START and not seed.isdecimal():
        raise InputError(f"{path}: {name} is neither {START} nor VARIANT.SEED; folders are named by models")
    (file,) = read_scores([path]).files.values()
    if MAIN_METRIC not in file["metrics"]:
        raise InputError(f"{path}: no {MAIN_METRIC}, which is what ablations compare; take {benchmark} out of them")
    return Scored(variant, int(seed) if seed else None, benchmark, tested, file["metrics"][MAIN_METRIC])


def forgetting(scores: Sequence[Scored]) -> list[str]:
    """Top-1 in percent of each replay variant, mean and deviation over seeds.

    Classes of organisms are written as fully as they can be, replay's as its captions.
    """
    asked = [one for one in scores if one.tested in (TEXT_TYPES[-1], CAPTIONS)]
    benchmarks = _distinct(one.benchmark for one in asked)
    rows = [["replay and its projector", *benchmarks]]
    for variant in REPLAY_VARIANTS:
        found = [one for one in asked if one.variant == variant]
        rows.append([variant, *(_cell(one for one in found if one.benchmark == name) for name in benchmarks)])
    return _aligned(rows)


def text_types(scores: Sequence[Scored]) -> list[str]:
    """Top-1 in percent, a row for each text type that was trained on and one for the mix, a column for each tested."""
    first = min((one.seed for one in scores if one.seed is not None), default=None)
    asked = [one for one in scores if one.tested != CAPTIONS and one.seed in (first, None)]
    types = _distinct(one.tested for one in asked)
    rows = []
    for benchmark in _distinct(one.benchmark for one in asked):
        rows.append([f"{benchmark}: trained on", *types])
        for variant in (START, *types, MIX):
            found = [one for one in asked if one.variant == variant and one.benchmark == benchmark]
            cells = [_cell(one for one in found if one.tested == tested) for tested in types]
            rows.append(["the mix" if variant == MIX else variant, *cells])
    return _aligned(rows)


def _cell(scores: Iterable[Scored]) -> str:
    values = [100 * one.top1 for one in scores]
    if not values:
        return "-"
    return f"{mean(values):.1f}" + (f" ± {pstdev(values):.1f}" if len(values) > 1 else "")


def _distinct(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]


if __name__ == "__main__":
    run(ablations)
