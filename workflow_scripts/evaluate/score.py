"""Score models on one benchmark, from features alone."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from workflow_scripts.common.cli import run
from workflow_scripts.common.clip import Clip, load
from workflow_scripts.common.config.evaluate import (
    Awa2Benchmark,
    BenchmarkSettings,
    Classification,
    ClassText,
    FishnetBenchmark,
    Herbarium19Benchmark,
    NewtBenchmark,
    PlantdocBenchmark,
    ReplayBenchmark,
    SubsetsBenchmark,
)
from workflow_scripts.common.documents import write_document
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import digest, sha256_file
from workflow_scripts.common.frames import read_frame, write_frame
from workflow_scripts.common.geometry import Floats, unit
from workflow_scripts.common.progress import Progress
from workflow_scripts.common.prompts import TEMPLATES, Template, class_weights, text_features
from workflow_scripts.common.resampling import Measure, Reals, differences, interval, resample, share
from workflow_scripts.contracts import BENCHMARK_IMAGES, BENCHMARK_SCORES, PREDICTIONS, SEEN_SPECIES
from workflow_scripts.evaluate.awa2 import awa2
from workflow_scripts.evaluate.class_names import class_name
from workflow_scripts.evaluate.classes import Classes
from workflow_scripts.evaluate.columns import texts
from workflow_scripts.evaluate.features import Features, Origin, origin_of, read_features
from workflow_scripts.evaluate.fishnet import fishnet
from workflow_scripts.evaluate.herbarium19 import herbarium19
from workflow_scripts.evaluate.hierarchy import Lineage, height_on_errors, lineage, top1_by_rank
from workflow_scripts.evaluate.measures import Outcome, among, calibration_error, mean_of
from workflow_scripts.evaluate.newt import outcome as newt
from workflow_scripts.evaluate.plantdoc import plantdoc
from workflow_scripts.evaluate.search_newt import read_answers
from workflow_scripts.evaluate.simpleshot import simpleshot
from workflow_scripts.evaluate.zero_shot import Nearest, classify

if TYPE_CHECKING:
    import polars as pl

logger = logging.getLogger(__name__)

# Decimals kept of a prediction's score: what lies beyond is rounding, which depends on the number of threads.
SCORE_DECIMALS = 5

HEIGHT = "lca_height"
# Settings that say where files lie, and nothing of how they are scored.
PLACES = {"labels", "images", "find", "folder", "classes", "subsets", "fetch", "among", "jobs"}


def score(
    *,
    benchmark: str,
    settings: BenchmarkSettings,
    images: Path,
    models: dict[str, str],
    features: dict[str, Path],
    out_dir: Path,
    seen: Path | None = None,
    searches: dict[str, Path] = {},  # noqa: B006 (never changed)
    threads: int = 1,
) -> None:
    """Score models on one benchmark: `OUT_DIR/MODEL/BENCHMARK.json`, and `.predictions.parquet` where texts are named.

    Metrics are fractions: `zero_shot/top1`, `top3`, `top5`, and `ece`, the calibration error; `few_shot/K`, the mean
    over five folds, and `few_shot/K_std`, its population standard deviation; `chance` for top-1; `hierarchy/RANK`,
    top-1 at a rank by the same prediction; `seen/` and `unseen/zero_shot/top1`; `subset/NAME/zero_shot/top1`; and what
    the benchmarks without text say (see their modules). A model without a text tower has no zero-shot score. They
    follow the corrected protocol; where the published code (bioclip-2 v1.0.1) does otherwise, its number stands
    besides under `published/`.

    Beside them stand `intervals` (95 %, bootstrap over images) by metric; `against`, by other model and metric, the
    paired difference, its interval and p; and `lca_height`, the mean height of the lowest common ancestor on errors.

    Args:
        benchmark: its name.
        settings: its layout, text type and shots.
        images: its images.parquet.
        models: each model's name and source.
        features: each model's features of these images.
        out_dir: the folder of the scores.
        seen: the species of the run's training data, for scores of seen and unseen species apart.
        searches: of NeWT, each model's folder of answers.
        threads: threads of the text tower and of the matrix products.

    Raises:
        InputError: features that are missing, or were made from other images or another model; a class with too few
            images; a class without a name of the benchmark's text type.
    """
    if set(models) != set(features):
        raise InputError(
            f"features are given for {', '.join(features) or 'none'}, models {', '.join(models) or 'none'}"
        )
    torch.set_num_threads(threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    known = None if seen is None else frozenset(read_frame(seen, SEEN_SPECIES)["species"])
    task = Task(benchmark, settings, read_frame(images, BENCHMARK_IMAGES), sha256_file(images), known)
    if task.table.is_empty():
        raise InputError(f"{images}: no images to score")
    scored: dict[str, Scored] = {}
    with threadpool_limits(threads), Progress(f"score {benchmark}", len(models), "models") as progress:
        for model, source in models.items():
            scored[model] = _judge(task, load(source, device), features[model], searches.get(model))
            progress.update(1, model)
        for model in models:
            _write(task, model, scored, out_dir / model)


@dataclass(frozen=True)
class Task:
    """A benchmark to score, or one of its subsets.

    Attributes:
        benchmark: its name.
        settings: its settings.
        table: its images table.
        digest: the SHA-256 of that table's file.
        seen: lower-case binomials of the run's training data, where that is known.
    """

    benchmark: str
    settings: BenchmarkSettings
    table: "pl.DataFrame"
    digest: str
    seen: frozenset[str] | None = None

    def classes(self, text_type: ClassText) -> Classes:
        """The classes by the names that prompts are made of.

        As in the published code, images whose names are equal are of one class, whatever their label says.
        """
        return Classes.in_order([class_name(row, text_type) for row in self.table.iter_rows(named=True)])

    def subset(self, name: str) -> tuple[NDArray[np.int64], "Task"]:
        """The rows of a subset, and the task that they are."""
        rows = np.flatnonzero(np.array(texts(self.table, "subset")) == name)
        if not len(rows):
            raise InputError(f"{self.benchmark}: subset {name} has no usable image; see its account for the reasons")
        return rows, replace(self, table=self.table[rows])


@dataclass(frozen=True)
class Judged:
    """What a model does on a benchmark.

    Attributes:
        outcome: its scores.
        predictions: a frame of PREDICTIONS, where images are held against texts.
        height: the mean height of the lowest common ancestor on errors, where ranks are known.
    """

    outcome: Outcome
    predictions: "pl.DataFrame | None" = None
    height: Measure | None = None


@dataclass(frozen=True)
class Scored:
    """A model's scores and what they were made from.

    Attributes:
        judged: what it does.
        origin: what its features were made from.
        drawn: each score over resampled images.
    """

    judged: Judged
    origin: Origin
    drawn: dict[str, Reals]


def _judge(task: Task, clip: Clip, file: Path, searches: Path | None) -> Scored:
    features = read_features(file)
    _refuse_stale(task, clip, file, features)
    spec = task.settings.spec
    match spec:
        case NewtBenchmark():
            if searches is None:
                raise InputError(f"{task.benchmark}: no searches are given; run evaluate.search_newt first")
            judged = Judged(newt(read_answers(searches, spec.jobs, features, task.table), task.table))
        case FishnetBenchmark():
            judged = Judged(fishnet(features.vectors, task.table))
        case Awa2Benchmark():
            judged = Judged(awa2(features.vectors, task.table))
        case Herbarium19Benchmark():
            judged = Judged(herbarium19(features.vectors, task.table))
        case PlantdocBenchmark():
            judged = Judged(plantdoc(features.vectors, task.table))
        case SubsetsBenchmark():
            judged = _mean_of_subsets(task, clip, unit(features.vectors), spec)
        case Classification():
            judged = _classify(task, clip, unit(features.vectors), spec)
        case ReplayBenchmark():
            judged = _retrieve(task, clip, unit(features.vectors))
    height = {} if judged.height is None else {HEIGHT: judged.height}
    return Scored(judged, features.origin, resample(judged.outcome.measures | height))


def _refuse_stale(task: Task, clip: Clip, file: Path, features: Features) -> None:
    expected = origin_of(clip, task.digest, "replay" if isinstance(task.settings.spec, ReplayBenchmark) else "proj")
    changed = [name for name, value in vars(expected).items() if vars(features.origin)[name] != value]
    if not changed and not np.array_equal(features.positions, task.table["position"].to_numpy()):
        changed = ["positions"]
    if changed:
        raise InputError(f"{file}: stale, made from other {' and '.join(changed)}; delete it, so that it is made again")


def _classify(task: Task, clip: Clip, vectors_ND: Floats, spec: Classification) -> Judged:
    """Few-shot, and where the model reads text zero-shot by all templates and how wrong the wrong predictions are."""
    few_shot = _few_shot_measures(vectors_ND, Classes.in_order(task.table["class"].to_list()), spec.shots)
    classes = task.classes(spec.text_type)
    images, count = len(vectors_ND), len(classes.names)
    if not clip.has_text:
        return Judged(Outcome(few_shot, images, count, 1 / count))
    nearest = _zero_shot(clip, vectors_ND, classes, TEMPLATES)
    measures = _zero_shot_measures(nearest, classes, "zero_shot")
    if spec.published_text_type is not None:
        published = task.classes(spec.published_text_type)
        measures |= _zero_shot_measures(
            _zero_shot(clip, vectors_ND, published, TEMPLATES), published, "published/zero_shot"
        )
    lineages = [lineage(row) for row in task.table[classes.first_image].iter_rows(named=True)]
    by_rank = top1_by_rank(lineages, classes.of_image, nearest.predicted)
    if task.seen is not None:
        measures |= _by_acquaintance(task.seen, lineages, classes, nearest)
    return Judged(
        Outcome(measures | few_shot | by_rank, images, count, 1 / count),
        _predictions(task.table, classes, nearest),
        height_on_errors(lineages, classes.of_image, nearest.predicted) if by_rank else None,
    )


def _few_shot_measures(vectors_ND: Floats, classes: Classes, shots: Sequence[int]) -> dict[str, Measure]:
    return {
        f"{prefix}/{k}": folds.measure
        for prefix, as_published in (("few_shot", False), ("published/few_shot", True))
        for k, folds in simpleshot(vectors_ND, classes, shots, published=as_published).items()
    }


def _by_acquaintance(
    seen: frozenset[str], lineages: Sequence[Lineage], classes: Classes, nearest: Nearest
) -> dict[str, Measure]:
    """Top-1 among all classes, apart for images of species that the run trained on and of those that it did not."""
    species_N = np.array([one[-1] for one in lineages])[classes.of_image]
    right_N, seen_N = nearest.rank == 0, np.isin(species_N, list(seen))
    groups = {"seen": seen_N, "unseen": (species_N != "") & ~seen_N}
    return {f"{name}/zero_shot/top1": share(right_N & those, those) for name, those in groups.items() if those.any()}


def _mean_of_subsets(task: Task, clip: Clip, vectors_ND: Floats, spec: SubsetsBenchmark) -> Judged:
    """Each subset among its own classes, and the mean over subsets of every score that all of them have."""
    import polars as pl

    images = len(vectors_ND)
    predictions: list[pl.DataFrame] = []
    measures: dict[str, Measure] = {}
    outcomes = []
    classes, chance = 0, 0.0
    for name in spec.subsets:
        rows, part = task.subset(name)
        judged = _classify(part, clip, vectors_ND[rows], spec)
        if judged.predictions is not None:
            predictions.append(judged.predictions)
        outcomes.append({metric: among(one, rows, images) for metric, one in judged.outcome.measures.items()})
        if "zero_shot/top1" in outcomes[-1]:
            measures[f"subset/{name}/zero_shot/top1"] = outcomes[-1]["zero_shot/top1"]
        classes += judged.outcome.classes
        chance += judged.outcome.chance or 0.0
    shared = [metric for metric in outcomes[0] if all(metric in outcome for outcome in outcomes)]
    means = {metric: mean_of([outcome[metric] for outcome in outcomes]) for metric in shared}
    outcome = Outcome(means | measures, images, classes, chance / len(outcomes))
    return Judged(outcome, pl.concat(predictions) if predictions else None)


def _retrieve(task: Task, clip: Clip, vectors_ND: Floats) -> Judged:
    """Each image among all distinct captions, as they are."""
    classes = task.classes("asis")
    nearest = _zero_shot(clip, vectors_ND, classes, [str])
    measures = _zero_shot_measures(nearest, classes, "zero_shot")
    return Judged(
        Outcome(measures, len(vectors_ND), len(classes.names), 1 / len(classes.names)),
        _predictions(task.table, classes, nearest),
    )


def _zero_shot(clip: Clip, vectors_ND: Floats, classes: Classes, templates: Sequence[Template]) -> Nearest:
    weights_CD = class_weights(classes.names, templates, partial(text_features, clip))
    return classify(vectors_ND, classes.of_image, weights_CD, clip.model.logit_scale.exp().item())


def _zero_shot_measures(nearest: Nearest, classes: Classes, prefix: str) -> dict[str, Measure]:
    tops = {f"{prefix}/{top}": share(right_N) for top, right_N in nearest.right(len(classes.names)).items()}
    return tops | {f"{prefix}/ece": calibration_error(nearest.confidence, nearest.rank == 0)}


def _write(task: Task, model: str, scored: Mapping[str, Scored], folder: Path) -> None:
    own, spec = scored[model], task.settings.spec
    outcome = own.judged.outcome
    if own.judged.predictions is not None:
        write_frame(own.judged.predictions, PREDICTIONS, folder / f"{task.benchmark}.predictions.parquet")
    against = {}
    for name, other in scored.items():
        if name != model:
            found = differences(outcome.measures, other.judged.outcome.measures, own.drawn, other.drawn)
            against[name] = {metric: vars(difference) for metric, difference in found.items()}
    described: dict[str, Any] = {
        "benchmark": task.benchmark,
        "model": model,
        "protocol": "corrected",
        "n_images": outcome.images,
        "n_classes": outcome.classes,
        "metrics": outcome.metrics,
        "intervals": {metric: interval(own.drawn[metric]) for metric in outcome.measures},
        "against": against,
        "inputs": {
            "images": task.digest,
            "features": own.origin.digest,
            "weights": own.origin.weights,
            "settings": digest(spec.model_dump(mode="json", exclude=PLACES)),
        },
    }
    if own.judged.height is not None:
        height = own.judged.height.value
        # Without any error there is no height.
        described[HEIGHT] = {"mean": height if np.isfinite(height) else None, "interval": interval(own.drawn[HEIGHT])}
    write_document(folder / f"{task.benchmark}.json", described, BENCHMARK_SCORES)
    logger.info("%s, %s: %s", task.benchmark, model, outcome.metrics)


def _predictions(table: "pl.DataFrame", classes: Classes, nearest: Nearest) -> "pl.DataFrame":
    """One row an image; a class is shown by the label of its first image."""
    import polars as pl

    shown = table["class"][classes.first_image]
    return table.select("position", "image", "class").with_columns(
        predicted=shown[nearest.predicted],
        # As Python rounds: numpy's and polars' rounding differ in the last bit.
        score=pl.Series([round(float(value), SCORE_DECIMALS) for value in nearest.score], dtype=pl.Float64),
        correct=pl.Series(nearest.rank == 0),
    )


if __name__ == "__main__":
    run(score)
