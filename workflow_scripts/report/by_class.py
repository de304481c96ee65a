"""A benchmark class by class: accuracy by what training had of it, what is taken for what, and how sure of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from workflow_scripts.common import tables
from workflow_scripts.common.resampling import wilson
from workflow_scripts.contracts import BENCHMARK_IMAGES, COMPOSITION, LABELS, PREDICTIONS, RANKS

HERE = Path(__file__).parent
CLASSES, ERRORS, CONFUSION = "by_class.sql", "errors.sql", "confusion.sql"
ENDING = ".predictions.parquet"
# How near a guess is, the nearest first.
KINDS = (
    "right",
    *(f"same {rank}" for rank in ("genus", "family", "order", "class", "phylum", "kingdom")),
    "another kingdom",
    "ranks not known",
)
# Training images of a class, from and to.
AMOUNTS = ((0, 0), (1, 9), (10, 99), (100, 999), (1000, None))
# The lowest rank whose taxa are this many is the one that confusion is shown at.
TAXA = range(2, 31)
BINS = 10
# Classes in the table, those that do worst; the plot has all.
SHOWN = 25


class Tally:
    """Images, and how many of them are right."""

    images: int
    correct: int

    @property
    def share(self) -> float:
        """The share of the images that are right."""
        return self.correct / self.images

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of that."""
        return wilson(self.share, self.images)


@dataclass(frozen=True)
class ClassScore(Tally):
    """How a model does on a class.

    Attributes:
        name: the class.
        images: the benchmark's images of it.
        correct: how many of them are right.
        taken_for: the class that its other images are most often taken for.
        trained: training images of its species.
        other_name: what training calls its species, where that is another name.
        trained_by_other_name: training images by that name.
    """

    name: str
    images: int
    correct: int
    taken_for: str
    trained: int
    other_name: str | None
    trained_by_other_name: int | None

    @property
    def seen(self) -> int:
        """Training images of its species by whatever name."""
        return self.trained or self.trained_by_other_name or 0


@dataclass(frozen=True)
class Amount(Tally):
    """The classes that training had so many images of, taken together."""

    label: str
    classes: int
    images: int
    correct: int


@dataclass(frozen=True)
class Confusion:
    """Images by the taxon that they show (rows) and the taxon that they are taken for (columns), at a rank."""

    rank: str
    taxa: tuple[str, ...]
    images: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Bin:
    """Predictions of about the same confidence; both means are fractions."""

    confidence: float
    share: float
    images: int


@dataclass(frozen=True)
class ByClass:
    """All of it for a benchmark; the classes and the confusion are the run's own model's.

    Attributes:
        classes: those that do worst first.
        confusion: at the lowest rank that can be shown; None where no rank can.
        errors: by model, images by how near the guess is (`KINDS`); empty without ranks.
        reliability: by model; empty where predictions have no confidence.
    """

    classes: tuple[ClassScore, ...]
    confusion: Confusion | None
    errors: Mapping[str, Mapping[str, int]]
    reliability: Mapping[str, tuple[Bin, ...]]

    @property
    def shown(self) -> tuple[ClassScore, ...]:
        """The classes of the table."""
        return self.classes[:SHOWN]

    @property
    def never_trained(self) -> list[ClassScore]:
        """Classes that training has no image of, by any name."""
        return sorted((one for one in self.classes if not one.seen), key=lambda one: one.name)

    @property
    def renamed(self) -> list[ClassScore]:
        """Classes whose species training has by another name."""
        return sorted((one for one in self.classes if one.other_name), key=lambda one: one.name)

    @property
    def amounts(self) -> list[Amount]:
        """The classes by how many training images there are of them."""
        found = []
        for low, high in AMOUNTS:
            some = [one for one in self.classes if low <= one.seen and (high is None or one.seen <= high)]
            label = f"{low:,}" if low == high else f"{low:,} or more" if high is None else f"{low:,} to {high:,}"
            if some:
                images, correct = sum(one.images for one in some), sum(one.correct for one in some)
                found.append(Amount(label, len(some), images, correct))
        return found


def read_by_class(
    predictions: Sequence[Path],
    benchmarks: Mapping[str, Path],
    models: Sequence[str],
    *,
    composition: Path | None,
    labels: Path | None,
    apart: Sequence[str] = (),
) -> dict[str, ByClass]:
    """What there is to say of each benchmark's classes.

    Args:
        predictions: files named MODEL/BENCHMARK.predictions.parquet.
        benchmarks: each benchmark's images.parquet.
        models: the models in order, the run's own first.
        composition: the corpus's training images by taxon; without it no class is known to be trained.
        labels: the corpus's names.
        apart: benchmarks whose classes are no organisms.

    Raises:
        InputError: a file is missing or breaks its contract.
    """
    files = {(path.name.removesuffix(ENDING), path.parent.name): path for path in predictions}
    found = {}
    with tables.connect() as connection:
        for path, contract, name in ((composition, COMPOSITION, "composition"), (labels, LABELS, "labels")):
            tables.read(connection, [path] if path else [], contract, name)
        for benchmark, images in benchmarks.items():
            of_models = {model: files[benchmark, model] for model in models if (benchmark, model) in files}
            if benchmark not in apart and models[0] in of_models:
                found[benchmark] = _of_benchmark(connection, images, of_models)
    return found


def _of_benchmark(connection: duckdb.DuckDBPyConnection, images: Path, of_models: Mapping[str, Path]) -> ByClass:
    tables.read(connection, images, BENCHMARK_IMAGES, "images")
    errors, reliability = {}, {}
    # The run's own model comes last, and its predictions stay.
    for model, path in reversed(list(of_models.items())):
        tables.read(connection, path, PREDICTIONS, "predictions")
        kinds = dict(connection.execute(_query(ERRORS)).fetchall())
        errors[model] = {kind: kinds[kind] for kind in KINDS if kind in kinds}
        reliability[model] = _bins(connection)
    ranked = {kind for kinds in errors.values() for kind in kinds} - {"right", "ranks not known"}
    return ByClass(
        tuple(ClassScore(**row) for row in _rows(connection, _query(CLASSES))),
        _confusion(connection),
        {model: errors[model] for model in of_models} if ranked else {},
        {model: reliability[model] for model in of_models if reliability[model]},
    )


def _confusion(connection: duckdb.DuckDBPyConnection) -> Confusion | None:
    for rank, column in (("class of the benchmark", '"class"'), *((rank, f"taxon_{rank}") for rank in reversed(RANKS))):
        number = tables.scalar(connection, f"SELECT count(DISTINCT {column}) FROM images")
        if rank != "species" and number in TAXA:
            connection.execute("SET VARIABLE taxon = ?", [column.strip('"')])
            rows = _rows(connection, _query(CONFUSION))
            taxa = tuple(dict.fromkeys([row["true_taxon"] for row in rows] + [row["taken_for"] for row in rows]))
            images = {(row["true_taxon"], row["taken_for"]): row["images"] for row in rows}
            return Confusion(rank, taxa, tuple(tuple(images.get((one, other), 0) for other in taxa) for one in taxa))
    return None


def _bins(connection: duckdb.DuckDBPyConnection) -> tuple[Bin, ...]:
    """Predictions by confidence, ten bins of the same width."""
    columns = [row[0] for row in connection.execute("DESCRIBE predictions").fetchall()]
    if "confidence" not in columns:
        return ()
    rows = connection.execute(
        "SELECT avg(confidence), avg(correct::INTEGER), count(*) FROM predictions "
        f"GROUP BY least(floor(confidence * {BINS}), {BINS - 1}) ORDER BY 1"
    ).fetchall()
    return tuple(Bin(*row) for row in rows)


def _rows(connection: duckdb.DuckDBPyConnection, query: str) -> list[dict[str, Any]]:
    return connection.sql(query).to_arrow_table().to_pylist()


def _query(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")
