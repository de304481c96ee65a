"""Scores of all models and benchmarks, as a table."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_scripts.common.documents import read_document
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import whole
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
"""`value`, `std`, `low`, `high`, `difference` and `chance` are fractions; `std` is over folds, repeats or seeds; `low`
and `high` end the 95 % interval over images; `difference` is to the model that the run's own is held against, `p` that
of a paired permutation test; `chance` is given for top-1 and few-shot; `protocol` lists what a score follows: versions
of the published code, and `corrected`."""

MAIN_METRIC = "zero_shot/top1"
STD = "_std"
# What comes first in the table; whatever else follows by name.
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
# Families with a score at each rank.
BY_RANK = ("hierarchy", "triplet")
# Scores whose chance is not the benchmark's.
WITHOUT_CHANCE = ("hierarchy/", "subset/")
# Errors: the lower, the better, and guessing has none that is known.
ERRORS = "/ece"


@dataclass(frozen=True)
class Scores:
    """Every score, in the order in which the files are given.

    Attributes:
        models: the models, the run's own first; of the others the first is what it is held against.
        benchmarks: the benchmarks.
        files: the score files' content by benchmark and model.
    """

    models: tuple[str, ...]
    benchmarks: tuple[str, ...]
    files: dict[tuple[str, str], dict[str, Any]]

    def metrics(self, benchmark: str) -> list[str]:
        """The benchmark's metrics: zero-shot before few-shot, those that only published versions follow last."""
        found = {
            metric
            for (name, _), file in self.files.items()
            if name == benchmark
            for metric in file["metrics"]
            if metric != "chance" and not metric.endswith(STD)
        }
        return sorted(found, key=_order)

    def value(self, benchmark: str, metric: str, model: str) -> float | None:
        """A score as a fraction, or None where there is none."""
        file = self.files.get((benchmark, model))
        return None if file is None else file["metrics"].get(metric)

    def main_metric(self, benchmark: str) -> str:
        """The metric that stands for the benchmark: zero-shot top-1, or the first one that its protocol has."""
        return next(name for name in self.metrics(benchmark) if not self.of_version(name))

    def of_version(self, metric: str) -> bool:
        """Whether a score is of published versions alone."""
        return plain_metric(metric) != metric

    def protocols(self, benchmark: str, metric: str) -> list[str]:
        """Which versions of the protocol a score follows."""
        file = next(file for (name, _), file in self.files.items() if name == benchmark and metric in file["metrics"])
        followed: list[str] = file.get("protocols", {}).get(metric, [file["protocol"]])
        return followed

    def following(self, benchmark: str, metric: str, protocol: str) -> str | None:
        """The name of a metric's score that follows a protocol; None where there is none."""
        named = (name for name in self.metrics(benchmark) if plain_metric(name) == metric)
        return next((name for name in named if protocol in self.protocols(benchmark, name)), None)

    def interval(self, benchmark: str, metric: str, model: str) -> tuple[float, float] | None:
        """The ends of a score's 95 % interval, where its file has them."""
        ends = self.files.get((benchmark, model), {}).get("intervals", {}).get(metric)
        return None if ends is None else (ends[0], ends[1])

    def against(self, benchmark: str, metric: str, model: str) -> Difference | None:
        """The paired difference to the model that the run's own is held against, where it is known."""
        other = next(iter(self.models[1:]), None)
        found = self.files.get((benchmark, model), {}).get("against", {}).get(other, {}).get(metric)
        return None if found is None else Difference(**found)

    def height(self, benchmark: str, model: str) -> tuple[float, tuple[float, float]] | None:
        """The mean height of the lowest common ancestor on errors, and its interval; None without ranks or errors."""
        found = self.files.get((benchmark, model), {}).get("lca_height") or {}
        if found.get("mean") is None or found.get("interval") is None:
            return None
        return found["mean"], (found["interval"][0], found["interval"][1])

    def with_heights(self) -> list[str]:
        """The benchmarks for which any model has such a height."""
        return [name for name in self.benchmarks if any(self.height(name, model) for model in self.models)]

    def best(self, benchmark: str, metric: str) -> float | None:
        """The best score of any model: the highest, or the lowest of an error."""
        values = [self.value(benchmark, metric, model) for model in self.models]
        choose = min if is_error(metric) else max
        return choose((value for value in values if value is not None), default=None)

    def chance(self, benchmark: str, metric: str) -> float | None:
        """What guessing gives: 1 / classes for the first guess, k / classes for one of the first k."""
        file = next(file for (name, _), file in self.files.items() if name == benchmark)
        if "chance" not in file["metrics"] or is_error(metric):
            return None
        if plain_metric(metric).startswith(WITHOUT_CHANCE):
            return None
        _, top, guesses = metric.rpartition("/top")
        return min(1.0, file["metrics"]["chance"] * (int(guesses) if top else 1))

    def left_out(self) -> list[tuple[str, str, str]]:
        """Scores that are not there: benchmark, metric and why, as the first model's files say it."""
        files = ((name, file) for (name, model), file in self.files.items() if model == self.models[0])
        return [(name, metric, why) for name, file in files for metric, why in file.get("left_out", {}).items()]

    def size(self, benchmark: str) -> tuple[int, int]:
        """How many images and classes the benchmark has."""
        file = next(file for (name, _), file in self.files.items() if name == benchmark)
        return file["n_images"], file["n_classes"]

    def frame(self) -> "pl.DataFrame":
        """The contract `SCORES`, in the order in which people read them."""
        import polars as pl

        rows = [
            {
                "benchmark": benchmark,
                "metric": metric,
                "model": model,
                "value": value,
                "std": self.value(benchmark, metric + STD, model),
                **dict(zip(("low", "high"), self.interval(benchmark, metric, model) or (None, None), strict=True)),
                "difference": None if (held := self.against(benchmark, metric, model)) is None else held.difference,
                "p": None if held is None else held.p,
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
    """Whether a metric is better when low."""
    return metric.endswith(ERRORS)


def read_scores(paths: Sequence[Path], own: str | None = None) -> Scores:
    """Read score files.

    Args:
        paths: the files.
        own: the run's own model, which may have no scores; the first file's when it is none of them.

    Raises:
        InputError: a file is missing or is no score file, or two of them are about the same.
    """
    files: dict[tuple[str, str], dict[str, Any]] = {}
    for path in paths:
        file = read_document(path, BENCHMARK_SCORES)
        key = (file["benchmark"], file["model"])
        if key in files:
            raise InputError(f"{path}: a second file of scores of {key[1]} on {key[0]}")
        files[key] = file
    if not files and own is None:
        raise InputError("no scores given; name at least one score file")
    # A run without benchmarks has none.
    models = dict.fromkeys(model for _, model in files) or [own or ""]
    return Scores(
        models=tuple(sorted(models, key=lambda model: model != own)),
        benchmarks=tuple(dict.fromkeys(benchmark for benchmark, _ in files)),
        files=files,
    )


def write_scores(scores: Scores, folder: Path) -> None:
    """Write `scores.csv` and `scores.parquet`."""
    frame = scores.frame()
    with whole(folder / "scores.csv") as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
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
    # The mean over ranks comes before them.
    rank = 1 + RANKS.index(name) if family in BY_RANK and name in RANKS else 0
    return version, place, family, is_error(metric), int(number or rank), name
