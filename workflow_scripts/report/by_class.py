"""A benchmark by class: accuracy by training images, confusion, taxonomic distance of errors, and calibration."""

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
# Kinds of predictions by taxonomic distance, the closest first.
KINDS = (
    "correct",
    *(f"same {rank}" for rank in ("genus", "family", "order", "class", "phylum", "kingdom")),
    "another kingdom",
    "ranks unknown",
)
# Ranges of training images per class, both ends included.
AMOUNTS = ((0, 0), (1, 9), (10, 99), (100, 999), (1000, None))
# Confusion is shown at the lowest rank with this many taxa.
TAXA = range(2, 31)
BINS = 10
# Classes in the table; the plot has all of them.
SHOWN = 25


class Tally:
    """Images, and how many of them are predicted correctly."""

    images: int
    correct: int

    @property
    def share(self) -> float:
        """Accuracy: the fraction of images predicted correctly."""
        return self.correct / self.images

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the accuracy."""
        return wilson(self.share, self.images)


@dataclass(frozen=True)
class ClassScore(Tally):
    """A model's predictions on one class.

    Attributes:
        name: the class.
        images: the benchmark's images of it.
        correct: how many of them are predicted correctly.
        taken_for: the class that is most often predicted instead.
        trained: training images of its species.
        other_name: the name of its species in training, if that differs.
        trained_by_other_name: training images under that name.
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
        """Training images of its species under any name."""
        return self.trained or self.trained_by_other_name or 0


@dataclass(frozen=True)
class Amount(Tally):
    """Classes with a similar number of training images, taken together."""

    label: str
    classes: int
    images: int
    correct: int


@dataclass(frozen=True)
class Confusion:
    """Images by true taxon (rows) and predicted taxon (columns), at a rank."""

    rank: str
    taxa: tuple[str, ...]
    images: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Bin:
    """Predictions of similar confidence: mean confidence, accuracy (both fractions) and number of images."""

    confidence: float
    share: float
    images: int


@dataclass(frozen=True)
class ByClass:
    """Results by class on one benchmark; classes and confusion are of the run's own model.

    Attributes:
        classes: lowest accuracy first.
        confusion: at the lowest rank with a suitable number of taxa (`TAXA`); None if there is none.
        errors: by model, images by kind of prediction (`KINDS`); empty without ranks.
        reliability: by model; empty if predictions have no confidence.
    """

    classes: tuple[ClassScore, ...]
    confusion: Confusion | None
    errors: Mapping[str, Mapping[str, int]]
    reliability: Mapping[str, tuple[Bin, ...]]

    @property
    def shown(self) -> tuple[ClassScore, ...]:
        """The classes in the table."""
        return self.classes[:SHOWN]

    @property
    def never_trained(self) -> list[ClassScore]:
        """Classes without training images under any name."""
        return sorted((one for one in self.classes if not one.seen), key=lambda one: one.name)

    @property
    def renamed(self) -> list[ClassScore]:
        """Classes whose species is in training under another name."""
        return sorted((one for one in self.classes if one.other_name), key=lambda one: one.name)

    @property
    def amounts(self) -> list[Amount]:
        """The classes grouped by number of training images."""
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
    exclude: Sequence[str] = (),
) -> dict[str, ByClass]:
    """Read each benchmark's results by class.

    Args:
        predictions: files named MODEL/BENCHMARK.predictions.parquet.
        benchmarks: each benchmark's images.parquet.
        models: the models in order, the run's own first.
        composition: the corpus's training images by taxon; without it, no class counts as trained.
        labels: the corpus's resolved names.
        exclude: benchmarks to skip because their classes are not organisms.

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
            if benchmark not in exclude and models[0] in of_models:
                found[benchmark] = _of_benchmark(connection, images, of_models)
    return found


def _of_benchmark(connection: duckdb.DuckDBPyConnection, images: Path, of_models: Mapping[str, Path]) -> ByClass:
    tables.read(connection, images, BENCHMARK_IMAGES, "images")
    errors, reliability = {}, {}
    # The run's own model comes last: the queries below read its `predictions`.
    for model, path in reversed(list(of_models.items())):
        tables.read(connection, path, PREDICTIONS, "predictions")
        kinds = dict(connection.execute(_query(ERRORS)).fetchall())
        errors[model] = {kind: kinds[kind] for kind in KINDS if kind in kinds}
        reliability[model] = _bins(connection)
    ranked = {kind for kinds in errors.values() for kind in kinds} - {"correct", "ranks unknown"}
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
    """Predictions in ten confidence bins of equal width."""
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
