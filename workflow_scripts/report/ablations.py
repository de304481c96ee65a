"""Print the papers' ablations as tables: forgetting with and without replay, and text types in training and test.

In: score files `.../TESTED/VARIANT/BENCHMARK.json`, where VARIANT is `<variant>.<seed>`, or `start` for the starting
model. Out: all scores in one table, as CSV and as parquet; the two ablation tables on the terminal.
"""

import sys
from collections.abc import Sequence
from csv import writer
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, pstdev
from typing import TYPE_CHECKING

from workflow_scripts.common.cli import run
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import atomic
from workflow_scripts.common.frames import write_frame
from workflow_scripts.contracts import INTEGER, REAL, TEXT_TYPES, Column, Contract
from workflow_scripts.report.scores import MAIN_METRIC, read_scores

if TYPE_CHECKING:
    import polars as pl

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
"""`tested`: text type of the class names, or `captions`. `seed`: null for the starting model."""

SCHEMA = {"variant": str, "seed": int, "benchmark": str, "tested": str, "top1": float}
START = "start"
CAPTIONS = "captions"
REPLAY_VARIANTS = (START, "no_replay", "one_projector", "two_projectors")
# The recipe itself, which trains on all text types.
MIX = "two_projectors"


@dataclass(frozen=True)
class Scored:
    """One row of `ABLATIONS`; `top1` is a fraction."""

    variant: str
    seed: int | None
    benchmark: str
    tested: str
    top1: float


def ablations(*, scores: tuple[Path, ...], csv: Path, parquet: Path) -> None:
    """Write all scores to two files, and print the two ablation tables.

    Args:
        scores: the score files.
        csv: output: all scores as CSV.
        parquet: output: all scores as parquet (contract ABLATIONS).

    Raises:
        InputError: a score file is missing or unreadable, has no zero-shot top-1, or is not in a variant's folder.
    """
    import polars as pl

    found = pl.DataFrame([_scored(path) for path in scores], schema=SCHEMA)
    write_frame(found, ABLATIONS, parquet)
    with atomic(csv) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        table = writer(file)
        table.writerow(found.columns)
        table.writerows(found.iter_rows())
    for lines in (forgetting(found), text_types(found)):
        sys.stdout.write("\n".join(lines) + "\n\n")


def _scored(path: Path) -> Scored:
    *_, tested, name, benchmark = path.absolute().with_suffix("").parts
    variant, _, seed = name.rpartition(".") if name != START else (START, "", "")
    if name != START and not seed.isdecimal():
        raise InputError(f"{path}: expected a folder named {START} or VARIANT.SEED, found {name}")
    (file,) = read_scores([path]).files.values()
    if MAIN_METRIC not in file["metrics"]:
        raise InputError(f"{path}: no {MAIN_METRIC}, which ablations compare; remove {benchmark} from the ablations")
    return Scored(variant, int(seed) if seed else None, benchmark, tested, file["metrics"][MAIN_METRIC])


def forgetting(scores: "pl.DataFrame") -> list[str]:
    """Table of top-1 in percent by replay variant: mean and standard deviation over seeds.

    Class names are tested in the fullest text type, replay pairs with their captions.
    """
    import polars as pl

    compared = scores.filter(pl.col("tested").is_in([TEXT_TYPES[-1], CAPTIONS]))
    benchmarks = _distinct(compared["benchmark"])
    rows = [["replay and its projector", *benchmarks]]
    for variant in REPLAY_VARIANTS:
        rows.append([variant, *(_cell(compared, variant=variant, benchmark=name) for name in benchmarks)])
    return _aligned(rows)


def text_types(scores: "pl.DataFrame") -> list[str]:
    """Tables of top-1 in percent: rows are text types in training and their mix, columns text types in the test."""
    import polars as pl

    of_first_seed = pl.col("seed").is_null() | (pl.col("seed") == pl.col("seed").min())
    compared = scores.filter((pl.col("tested") != CAPTIONS) & of_first_seed)
    types = _distinct(compared["tested"])
    rows = []
    for benchmark in _distinct(compared["benchmark"]):
        rows.append([f"{benchmark}: trained on", *types])
        for variant in (START, *types, MIX):
            cells = [_cell(compared, variant=variant, benchmark=benchmark, tested=tested) for tested in types]
            rows.append(["the mix" if variant == MIX else variant, *cells])
    return _aligned(rows)


def _cell(scores: "pl.DataFrame", **where: str) -> str:
    values = [100 * top1 for top1 in scores.filter(**where)["top1"]]
    if not values:
        return "-"
    return f"{mean(values):.1f}" + (f" ± {pstdev(values):.1f}" if len(values) > 1 else "")


def _distinct(values: "pl.Series") -> list[str]:
    return values.unique(maintain_order=True).to_list()


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
