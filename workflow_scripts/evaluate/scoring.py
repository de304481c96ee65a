"""Score models on one benchmark from their features: the part that all layouts share."""

import functools
import inspect
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from workflow_scripts.common.cli import run
from workflow_scripts.common.clip import Clip, load
from workflow_scripts.common.config.evaluate import BenchmarkSettings, ReplayBenchmark
from workflow_scripts.common.documents import write_document
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import digest, sha256_file
from workflow_scripts.common.frames import read_frame, write_frame
from workflow_scripts.common.progress import Progress
from workflow_scripts.common.resampling import Measure, Reals, differences, interval, interval_of, resample
from workflow_scripts.contracts import BENCHMARK_IMAGES, BENCHMARK_SCORES, PREDICTIONS, SEEN_SPECIES
from workflow_scripts.evaluate.columns import column_values
from workflow_scripts.evaluate.features import Features, Origin, origin_of, read_features
from workflow_scripts.evaluate.measures import Outcome

if TYPE_CHECKING:
    import polars as pl

logger = logging.getLogger(__name__)

HEIGHT = "lca_height"
# Settings that locate files and do not affect scores.
LOCATIONS = {"labels", "images", "find", "folder", "classes", "subsets", "fetch", "among", "jobs"}


def score(
    score_model: "ScoreModel",
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
    """Score models on one benchmark and write `OUT_DIR/MODEL/BENCHMARK.json`.

    Zero-shot benchmarks also get `BENCHMARK.predictions.parquet`, with one prediction per image.

    Metrics are fractions: `zero_shot/top1`, `top3`, `top5` and `ece` (calibration error); `few_shot/K`, the mean over
    five folds, and `few_shot/K_std`, its population standard deviation; `chance` for top-1; `hierarchy/RANK`, top-1 of
    the same prediction at that rank; `seen/` and `unseen/zero_shot/top1`; `subset/NAME/zero_shot/top1`; and the metrics
    of benchmarks without text (see their modules). A model without a text tower has no zero-shot scores.

    A metric without a prefix follows the corrected protocol. Where a version of the published code differs, its score
    is listed with the version as prefix (`v1.0.1/few_shot/1`). `protocols` lists the versions that each metric follows.
    `left_out` says why a few-shot score is missing and names the classes with too few images.

    The file also has `intervals` (95 %, see `interval_of`) by metric; `against`, the paired difference to every other
    model by metric, with its interval and p; and `lca_height`, the mean height of the lowest common ancestor on errors.

    Args:
        score_model: the scoring function of the benchmark's layout.
        benchmark: the benchmark's name.
        settings: its layout, text type and shots.
        images: its images.parquet.
        models: source of each model, by name.
        features: each model's features of these images.
        out_dir: the folder to write to.
        seen: the species in the run's training data; adds separate scores for seen and unseen species.
        searches: each model's folder of search results (NeWT only).
        threads: threads for the text tower and matrix products.

    Raises:
        InputError: features are missing or were made from other images or another model, or a class has no name of the
            benchmark's text type.
    """
    if set(models) != set(features):
        raise InputError(
            f"--features and --models must name the same models: features are given for {', '.join(features) or 'none'}"
            f", models are {', '.join(models) or 'none'}"
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
            scored[model] = _scored(score_model, task, load(source, device), features[model], searches.get(model))
            progress.update(1, model)
        for model in models:
            _write(task, model, scored, out_dir / model)


@dataclass(frozen=True)
class Task:
    """A benchmark to score, or one of its subsets.

    Attributes:
        benchmark: the benchmark's name.
        settings: its settings.
        table: its images table.
        digest: SHA-256 digest of the table's file.
        seen: lower-case binomials in the run's training data, if known.
    """

    benchmark: str
    settings: BenchmarkSettings
    table: "pl.DataFrame"
    digest: str
    seen: frozenset[str] | None = None

    def subset(self, name: str) -> tuple[NDArray[np.int64], "Task"]:
        """The row indices of a subset, and the task restricted to them.

        Raises:
            InputError: the subset has no rows.
        """
        rows = np.flatnonzero(np.array(column_values(self.table, "subset")) == name)
        if not len(rows):
            raise InputError(f"{self.benchmark}: subset {name} has no usable image; see its account for the reasons")
        return rows, replace(self, table=self.table[rows])


@dataclass(frozen=True)
class Embedded:
    """A model and its features of a benchmark's images.

    Attributes:
        clip: the model.
        features: its features of the images.
        searches: the folder of search results (NeWT only).
    """

    clip: Clip
    features: Features
    searches: Path | None


@dataclass(frozen=True)
class ModelResult:
    """Results of one model on one benchmark.

    Attributes:
        outcome: the scores.
        predictions: a frame with the contract PREDICTIONS, if images are compared with texts.
        height: mean height of the lowest common ancestor on errors, if ranks are known.
    """

    outcome: Outcome
    predictions: "pl.DataFrame | None" = None
    height: Measure | None = None


@dataclass(frozen=True)
class Scored:
    """Results of one model, with their provenance and resamples.

    Attributes:
        result: the results.
        origin: what the features were made from.
        drawn: each score over resampled images [B].
    """

    result: ModelResult
    origin: Origin
    drawn: dict[str, Reals]


ScoreModel = Callable[[Task, Embedded], ModelResult]


def score_command(score_model: ScoreModel) -> None:
    """Run `score` with a layout's scoring function as a command."""
    command = functools.update_wrapper(functools.partial(score, score_model), score)
    signature = inspect.signature(score)
    others = [parameter for name, parameter in signature.parameters.items() if name != "score_model"]
    command.__signature__ = signature.replace(parameters=others)  # type: ignore[attr-defined]
    command.__annotations__ = {name: kind for name, kind in score.__annotations__.items() if name != "score_model"}
    run(command)


def _scored(score_model: ScoreModel, task: Task, clip: Clip, file: Path, searches: Path | None) -> Scored:
    features = read_features(file)
    _refuse_stale(task, clip, file, features)
    result = score_model(task, Embedded(clip, features, searches))
    height = {} if result.height is None else {HEIGHT: result.height}
    return Scored(result, features.origin, resample(result.outcome.measures | height))


def _refuse_stale(task: Task, clip: Clip, file: Path, features: Features) -> None:
    expected = origin_of(clip, task.digest, "replay" if isinstance(task.settings.spec, ReplayBenchmark) else "proj")
    changed = [name for name, value in vars(expected).items() if vars(features.origin)[name] != value]
    if not changed and not np.array_equal(features.positions, task.table["position"].to_numpy()):
        changed = ["positions"]
    if changed:
        raise InputError(
            f"{file}: stale, made from other {' and '.join(changed)}; delete it and embed the images again"
        )


def _write(task: Task, model: str, scored: Mapping[str, Scored], folder: Path) -> None:
    own, spec = scored[model], task.settings.spec
    outcome = own.result.outcome
    if own.result.predictions is not None:
        write_frame(own.result.predictions, PREDICTIONS, folder / f"{task.benchmark}.predictions.parquet")
    against = {}
    for name, other in scored.items():
        if name != model:
            found = differences(outcome.measures, other.result.outcome.measures, own.drawn, other.drawn)
            against[name] = {metric: vars(difference) for metric, difference in found.items()}
    described: dict[str, Any] = {
        "benchmark": task.benchmark,
        "model": model,
        "protocol": "corrected",
        "n_images": outcome.images,
        "n_classes": outcome.classes,
        "metrics": outcome.metrics,
        "protocols": outcome.protocols,
        "left_out": dict(outcome.left_out),
        "intervals": {metric: interval_of(one, own.drawn[metric]) for metric, one in outcome.measures.items()},
        "against": against,
        "inputs": {
            "images": task.digest,
            "features": own.origin.digest,
            "weights": own.origin.weights,
            "settings": digest(spec.model_dump(mode="json", exclude=LOCATIONS)),
        },
    }
    if own.result.height is not None:
        height = own.result.height.value
        # The mean is undefined if there are no errors.
        described[HEIGHT] = {"mean": height if np.isfinite(height) else None, "interval": interval(own.drawn[HEIGHT])}
    write_document(folder / f"{task.benchmark}.json", described, BENCHMARK_SCORES)
    logger.info("%s, %s: %s", task.benchmark, model, outcome.metrics)
    for metric, why in outcome.left_out.items():
        logger.warning("%s, %s: no %s: %s", task.benchmark, model, metric, why)
