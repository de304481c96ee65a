"""Score models on one benchmark, from features alone: what the protocols of all layouts have in common."""

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
from workflow_scripts.evaluate.columns import texts
from workflow_scripts.evaluate.features import Features, Origin, origin_of, read_features
from workflow_scripts.evaluate.measures import Outcome

if TYPE_CHECKING:
    import polars as pl

logger = logging.getLogger(__name__)

HEIGHT = "lca_height"
# Settings that say where files lie, and nothing of how they are scored.
PLACES = {"labels", "images", "find", "folder", "classes", "subsets", "fetch", "among", "jobs"}


def score(
    judge: "Judge",
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
    the benchmarks without text say (see their modules). A model without a text tower has no zero-shot score. A metric
    without a prefix follows the corrected protocol; where a version of the published code does otherwise, its number
    stands besides, below the version's name (`v1.0.1/few_shot/1`). `protocols` says of each metric which versions it
    follows: those that agree share one number. `left_out` says why a few-shot score is not there: by name, the classes
    with too few images.

    Beside them stand `intervals` (95 %, see `interval_of`) by metric; `against`, by other model and metric, the
    paired difference, its interval and p; and `lca_height`, the mean height of the lowest common ancestor on errors.

    Args:
        judge: the protocol of the benchmark's layout.
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
        InputError: features that are missing, or were made from other images or another model; a class without a name
            of the benchmark's text type.
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
            scored[model] = _judged(judge, task, load(source, device), features[model], searches.get(model))
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

    def subset(self, name: str) -> tuple[NDArray[np.int64], "Task"]:
        """The rows of a subset, and the task that they are."""
        rows = np.flatnonzero(np.array(texts(self.table, "subset")) == name)
        if not len(rows):
            raise InputError(f"{self.benchmark}: subset {name} has no usable image; see its account for the reasons")
        return rows, replace(self, table=self.table[rows])


@dataclass(frozen=True)
class Embedded:
    """A model and what it made of a benchmark's images.

    Attributes:
        clip: the model.
        features: the images' features.
        searches: the folder of NeWT's answers, where the benchmark needs one.
    """

    clip: Clip
    features: Features
    searches: Path | None


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


Judge = Callable[[Task, Embedded], Judged]


def score_command(judge: Judge) -> None:
    """Run `score` with a layout's protocol as a command."""
    command = functools.update_wrapper(functools.partial(score, judge), score)
    signature = inspect.signature(score)
    others = [parameter for name, parameter in signature.parameters.items() if name != "judge"]
    command.__signature__ = signature.replace(parameters=others)  # type: ignore[attr-defined]
    command.__annotations__ = {name: kind for name, kind in score.__annotations__.items() if name != "judge"}
    run(command)


def _judged(judge: Judge, task: Task, clip: Clip, file: Path, searches: Path | None) -> Scored:
    features = read_features(file)
    _refuse_stale(task, clip, file, features)
    judged = judge(task, Embedded(clip, features, searches))
    height = {} if judged.height is None else {HEIGHT: judged.height}
    return Scored(judged, features.origin, resample(judged.outcome.measures | height))


def _refuse_stale(task: Task, clip: Clip, file: Path, features: Features) -> None:
    expected = origin_of(clip, task.digest, "replay" if isinstance(task.settings.spec, ReplayBenchmark) else "proj")
    changed = [name for name, value in vars(expected).items() if vars(features.origin)[name] != value]
    if not changed and not np.array_equal(features.positions, task.table["position"].to_numpy()):
        changed = ["positions"]
    if changed:
        raise InputError(f"{file}: stale, made from other {' and '.join(changed)}; delete it, so that it is made again")


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
        "protocols": outcome.protocols,
        "left_out": dict(outcome.left_out),
        "intervals": {metric: interval_of(one, own.drawn[metric]) for metric, one in outcome.measures.items()},
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
    for metric, why in outcome.left_out.items():
        logger.warning("%s, %s: no %s: %s", task.benchmark, model, metric, why)
