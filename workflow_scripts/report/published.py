"""The papers' own scores beside ours, where a benchmark has the same name."""

import csv
from dataclasses import dataclass
from pathlib import Path

from workflow_scripts.report.scores import PUBLISHED, Scores

TABLE = Path(__file__).with_name("published.csv")


@dataclass(frozen=True)
class Comparison:
    """One benchmark's scores, ours and the papers'.

    Attributes:
        benchmark: its name.
        metric: ours; the one that follows the published code, where there is one.
        ours: our models' scores as fractions.
        theirs: the published scores as fractions, by model.
    """

    benchmark: str
    metric: str
    ours: dict[str, float | None]
    theirs: dict[str, float]


def compare(scores: Scores, table: Path = TABLE) -> list[Comparison]:
    """Each benchmark that the papers score too, in the order of ours.

    Zero-shot top-1 and the tasks without text as the model card of BioCLIP 2 gives them, and zero-shot top-1 of the
    first paper.
    """
    with table.open(encoding="utf-8", newline="") as file:
        published = list(csv.DictReader(file))
    found = []
    for benchmark in scores.benchmarks:
        of_benchmark = [row for row in published if row["benchmark"] == benchmark]
        for metric in dict.fromkeys(row["metric"] for row in of_benchmark):
            known = scores.metrics(benchmark)
            ours = next((name for name in (PUBLISHED + metric, metric) if name in known), None)
            if ours is None:
                continue
            found.append(
                Comparison(
                    benchmark,
                    ours,
                    {model: scores.value(benchmark, ours, model) for model in scores.models},
                    {row["model"]: float(row["percent"]) / 100 for row in of_benchmark if row["metric"] == metric},
                )
            )
    return found
