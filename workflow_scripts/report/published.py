"""The papers' own scores beside ours, where a benchmark has the same name."""

import csv
from dataclasses import dataclass
from pathlib import Path

from workflow_scripts.report.scores import PUBLISHED, Scores

TABLE = Path(__file__).with_name("published.csv")
SECOND_PAPER = "bioclip2"


@dataclass(frozen=True)
class Comparison:
    """One benchmark's scores, ours and the papers'.

    Attributes:
        benchmark: its name.
        metric: ours; the one that follows the papers' own code, where there is one.
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
        theirs: dict[str, dict[str, float]] = {}
        for row in of_benchmark:
            # What is `published` follows the second paper's code.
            names = (PUBLISHED + row["metric"], row["metric"]) if row["paper"] == SECOND_PAPER else (row["metric"],)
            if ours := next((name for name in names if name in scores.metrics(benchmark)), ""):
                theirs.setdefault(ours, {})[row["model"]] = float(row["percent"]) / 100
        for ours, of_papers in theirs.items():
            values = {model: scores.value(benchmark, ours, model) for model in scores.models}
            found.append(Comparison(benchmark, ours, values, of_papers))
    return found
