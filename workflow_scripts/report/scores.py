"""Scores of all models on all benchmarks."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_scripts.common.documents import read_document
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import atomic
from workflow_scripts.common.frames import write_frame
from workflow_scripts.common.protocols import PUBLISHED, plain_metric
from workflow_scripts.common.resampling import Difference
from workflow_scripts.contracts import BENCHMARK_SCORES, INTEGER, RANKS, REAL, Column, Contract

if TYPE_CHECKING:
    import polars as pl

SCORES = Contract(
    "one model's value of one metric on one benchmark",
    (
        Column("benchmark"),
        Column("metric"),
        Column("model"),
        Column("value", REAL),
        Column("std", REAL, null=True),
        Column("low", REAL, null=True),
        Column("high", REAL, null=True),
        Column("difference", REAL, null=True),
        Column("p", REAL, null=True),
        Column("chance", REAL, null=True),
        Column("n_images", INTEGER),
        Column("n_classes", INTEGER),
        Column("protocol"),
    ),
    key=("benchmark", "metric", "model"),
)
"""`value`, `std`, `low`, `high`, `difference` and `chance` are fractions. `std`: standard deviation over folds, repeats
or seeds. `low`, `high`: ends of the 95 % interval over images. `difference`: from the reference model, with `p` of a
paired permutation test. `chance`: only for top-1 and few-shot. `protocol`: the protocols that the score follows:
versions of the published code, and `corrected`."""

MAIN_METRIC = "zero_shot/top1"
STD = "_std"
# Order of the metric families in the table; others follow by name.
FAMILIES = (
    "zero_shot",
    "few_shot",
    "svm",
    "traits",
    "attributes",
    "clustering",
    "seen",
    "unseen",
    "hierarchy",
    "subset",
    "cophenetic",
    "triplet",
)
# Families with one score per rank.
BY_RANK = ("hierarchy", "triplet")
# Families whose chance level differs from the benchmark's.
WITHOUT_CHANCE = ("hierarchy/", "subset/")
# Suffix of errors: lower is better, and the chance level is unknown.
ERRORS = "/ece"


@dataclass(frozen=True)
class Scores:
    """All scores, in the order of the given files.

    Attributes:
        models: the models: the run's own first, then the reference model, then the others.
        benchmarks: the benchmarks.
        files: contents of the score files by benchmark and model.
    """

    models: tuple[str, ...]
    benchmarks: tuple[str, ...]
    files: dict[tuple[str, str], dict[str, Any]]

    def metrics(self, benchmark: str) -> list[str]:
        """The benchmark's metrics: zero-shot before few-shot, metrics of published versions only last."""
        found = {
            metric
            for (name, _), file in self.files.items()
            if name == benchmark
            for metric in file["metrics"]
            if metric != "chance" and not metric.endswith(STD)
        }
        return sorted(found, key=_order)

    def value(self, benchmark: str, metric: str, model: str) -> float | None:
        """A score as a fraction, or None if there is none."""
        file = self.files.get((benchmark, model))
        return None if file is None else file["metrics"].get(metric)

    def main_metric(self, benchmark: str) -> str:
        """The benchmark's main metric: zero-shot top-1, or the first metric of its protocol."""
        return next(name for name in self.metrics(benchmark) if not self.of_version(name))

    def of_version(self, metric: str) -> bool:
        """Whether a metric belongs to published versions only."""
        return plain_metric(metric) != metric

    def protocols(self, benchmark: str, metric: str) -> list[str]:
        """The versions of the protocol that a score follows."""
        file = next(file for (name, _), file in self.files.items() if name == benchmark and metric in file["metrics"])
        followed: list[str] = file.get("protocols", {}).get(metric, [file["protocol"]])
        return followed

    def following(self, benchmark: str, metric: str, protocol: str) -> str | None:
        """The name under which a metric's score follows a protocol; None if there is none."""
        named = (name for name in self.metrics(benchmark) if plain_metric(name) == metric)
        return next((name for name in named if protocol in self.protocols(benchmark, name)), None)

    def interval(self, benchmark: str, metric: str, model: str) -> tuple[float, float] | None:
        """The ends of a score's 95 % interval; None if its file has none."""
        ends = self.files.get((benchmark, model), {}).get("intervals", {}).get(metric)
        return None if ends is None else (ends[0], ends[1])

    def against(self, benchmark: str, metric: str, model: str) -> Difference | None:
        """The paired difference from the reference model; None if its file has none."""
        reference = next(iter(self.models[1:]), None)
        found = self.files.get((benchmark, model), {}).get("against", {}).get(reference, {}).get(metric)
        return None if found is None else Difference(**found)

    def height(self, benchmark: str, model: str) -> tuple[float, tuple[float, float]] | None:
        """Mean height of the lowest common ancestor over errors, and its interval; None without ranks or errors."""
        found = self.files.get((benchmark, model), {}).get("lca_height") or {}
        if found.get("mean") is None or found.get("interval") is None:
            return None
        return found["mean"], (found["interval"][0], found["interval"][1])

    def with_heights(self) -> list[str]:
        """The benchmarks on which any model has such a height."""
        return [name for name in self.benchmarks if any(self.height(name, model) for model in self.models)]

    def best(self, benchmark: str, metric: str) -> float | None:
        """The best score of any model: the highest, or for an error the lowest."""
        values = [self.value(benchmark, metric, model) for model in self.models]
        choose = min if is_error(metric) else max
        return choose((value for value in values if value is not None), default=None)

    def chance(self, benchmark: str, metric: str) -> float | None:
        """The score of random guessing: k / classes for top-k."""
        file = next(file for (name, _), file in self.files.items() if name == benchmark)
        if "chance" not in file["metrics"] or is_error(metric):
            return None
        if plain_metric(metric).startswith(WITHOUT_CHANCE):
            return None
        _, top, guesses = metric.rpartition("/top")
        return min(1.0, file["metrics"]["chance"] * (int(guesses) if top else 1))

    def left_out(self) -> list[tuple[str, str, str]]:
        """Scores that were not computed: benchmark, metric and reason, from the first model's files."""
        files = ((name, file) for (name, model), file in self.files.items() if model == self.models[0])
        return [(name, metric, why) for name, file in files for metric, why in file.get("left_out", {}).items()]

    def size(self, benchmark: str) -> tuple[int, int]:
        """Numbers of images and classes of the benchmark."""
        file = next(file for (name, _), file in self.files.items() if name == benchmark)
        return file["n_images"], file["n_classes"]

    def frame(self) -> "pl.DataFrame":
        """All scores by contract `SCORES`, in display order."""
        import polars as pl

        rows = [
            {
                "benchmark": benchmark,
                "metric": metric,
                "model": model,
                "value": value,
                "std": self.value(benchmark, metric + STD, model),
                **dict(zip(("low", "high"), self.interval(benchmark, metric, model) or (None, None), strict=True)),
                "difference": None if (paired := self.against(benchmark, metric, model)) is None else paired.difference,
                "p": None if paired is None else paired.p,
                "chance": self.chance(benchmark, metric),
                "n_images": self.files[benchmark, model]["n_images"],
                "n_classes": self.files[benchmark, model]["n_classes"],
                "protocol": ", ".join(self.protocols(benchmark, metric)),
            }
            for benchmark in self.benchmarks
            for metric in self.metrics(benchmark)
            for model in self.models
            if (value := self.value(benchmark, metric, model)) is not None
        ]
        return pl.DataFrame(rows, schema=[column.name for column in SCORES.columns], infer_schema_length=None)


def is_error(metric: str) -> bool:
    """Whether lower values of a metric are better."""
    return metric.endswith(ERRORS)


def read_scores(paths: Sequence[Path], own: str | None = None) -> Scores:
    """Read score files.

    Args:
        paths: the files.
        own: the run's own model, listed first. If it has no scores, the first file's model is.

    Raises:
        InputError: a file is missing or not a score file, or two files have the same benchmark and model.
    """
    files: dict[tuple[str, str], dict[str, Any]] = {}
    for path in paths:
        file = read_document(path, BENCHMARK_SCORES)
        key = (file["benchmark"], file["model"])
        if key in files:
            raise InputError(f"{path}: duplicate scores of {key[1]} on {key[0]}")
        files[key] = file
    if not files and own is None:
        raise InputError("no scores given; name at least one score file")
    # A run without benchmarks has no score files.
    models = dict.fromkeys(model for _, model in files) or [own or ""]
    return Scores(
        models=tuple(sorted(models, key=lambda model: model != own)),
        benchmarks=tuple(dict.fromkeys(benchmark for benchmark, _ in files)),
        files=files,
    )


def write_scores(scores: Scores, folder: Path) -> None:
    """Write `scores.csv` and `scores.parquet`."""
    frame = scores.frame()
    with atomic(folder / "scores.csv") as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(frame.columns)
        writer.writerows(frame.iter_rows())
    write_frame(frame, SCORES, folder / "scores.parquet")


def _order(metric: str) -> tuple[int, int, str, bool, int, str]:
    plain = plain_metric(metric)
    version = next((place for place, one in enumerate(PUBLISHED, 1) if metric.startswith(f"{one}/")), 0)
    family, _, name = plain.partition("/")
    place = FAMILIES.index(family) if family in FAMILIES else len(FAMILIES)
    number = "".join(character for character in name if character.isdigit())
    # The mean over ranks comes before the ranks.
    rank = 1 + RANKS.index(name) if family in BY_RANK and name in RANKS else 0
    return version, place, family, is_error(metric), int(number or rank), name
