"""Score models on one benchmark, from features alone."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from threadpoolctl import threadpool_limits

from workflow_scripts.common.cli import run
from workflow_scripts.common.clip import Clip, load
from workflow_scripts.common.config.evaluate import BenchmarkSettings, ClassText, CsvBenchmark
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import digest, sha256_file, write_json
from workflow_scripts.common.progress import Progress
from workflow_scripts.common.tables import read_rows, write_rows
from workflow_scripts.contracts import BENCHMARK_IMAGES, PREDICTIONS
from workflow_scripts.evaluate.class_names import class_name
from workflow_scripts.evaluate.classes import Classes
from workflow_scripts.evaluate.features import Features, origin_of, read_features
from workflow_scripts.evaluate.geometry import Floats, unit
from workflow_scripts.evaluate.simpleshot import simpleshot
from workflow_scripts.evaluate.texts import text_features
from workflow_scripts.evaluate.zero_shot import TEMPLATES, Nearest, Template, class_weights, classify

logger = logging.getLogger(__name__)

# Decimals kept of a prediction's score: what lies beyond is rounding, which depends on the number of threads.
SCORE_DECIMALS = 5


def score(
    *,
    benchmark: str,
    settings: BenchmarkSettings,
    images: Path,
    models: dict[str, str],
    features: dict[str, Path],
    out_dir: Path,
    threads: int = 1,
) -> None:
    """Score models on one benchmark: `OUT_DIR/MODEL/BENCHMARK.json` and `.predictions.parquet` for each.

    Metrics are fractions: `zero_shot/top1`, `top3`, `top5`; `few_shot/K`, the mean over five folds, and
    `few_shot/K_std`, its population standard deviation; `chance` for top-1. They follow the corrected protocol; where
    the published code (bioclip-2 v1.0.1) does otherwise, its number stands besides under `published/`.

    Args:
        benchmark: its name.
        settings: its layout, text type and shots.
        images: its images.parquet.
        models: each model's name and source.
        features: each model's features of these images.
        out_dir: the folder of the scores.
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
    task = Task(benchmark, settings, read_rows(images, BENCHMARK_IMAGES), sha256_file(images))
    if not task.table.num_rows:
        raise InputError(f"{images}: no images to score")
    with threadpool_limits(threads), Progress(f"score {benchmark}", len(models), "models") as progress:
        for model, source in models.items():
            _score_model(task, model, load(source, device), features[model], out_dir / model)
            progress.update(1, model)


@dataclass(frozen=True)
class Task:
    """A benchmark to score.

    Attributes:
        benchmark: its name.
        settings: its settings.
        table: its images table.
        digest: the SHA-256 of that table's file.
    """

    benchmark: str
    settings: BenchmarkSettings
    table: pa.Table
    digest: str

    def classes(self, text_type: ClassText) -> Classes:
        """The classes by the names that prompts are made of.

        As in the published code, images whose names are equal are of one class, whatever their label says.
        """
        return Classes.in_order([class_name(row, text_type) for row in self.table.to_pylist()])


def _score_model(task: Task, model: str, clip: Clip, file: Path, folder: Path) -> None:
    features = read_features(file)
    _refuse_stale(task, clip, file, features)
    vectors_ND = unit(features.vectors)
    spec = task.settings.spec
    metrics: dict[str, float] = {}
    if isinstance(spec, CsvBenchmark):
        classes = task.classes(spec.text_type)
        nearest = _zero_shot(clip, vectors_ND, classes, TEMPLATES)
        if spec.published_text_type is not None:
            published = task.classes(spec.published_text_type)
            metrics |= _zero_shot_metrics(
                _zero_shot(clip, vectors_ND, published, TEMPLATES), published, "published/zero_shot"
            )
        metrics |= _few_shot_metrics(vectors_ND, Classes.in_order(task.table["class"].to_pylist()), spec.shots)
    else:
        classes = task.classes("asis")
        nearest = _zero_shot(clip, vectors_ND, classes, [str])
    metrics |= _zero_shot_metrics(nearest, classes, "zero_shot")
    metrics["chance"] = 1 / len(classes.names)
    write_rows(
        _predictions(task.table, classes, nearest), PREDICTIONS, folder / f"{task.benchmark}.predictions.parquet"
    )
    write_json(
        folder / f"{task.benchmark}.json",
        {
            "benchmark": task.benchmark,
            "model": model,
            "protocol": "corrected",
            "n_images": len(vectors_ND),
            "n_classes": len(classes.names),
            "metrics": metrics,
            "inputs": {
                "images": task.digest,
                "features": features.origin.digest,
                "weights": features.origin.weights,
                "settings": digest(spec.model_dump(mode="json", exclude={"labels", "images"})),
            },
        },
    )
    logger.info("%s, %s: %s", task.benchmark, model, metrics)


def _refuse_stale(task: Task, clip: Clip, file: Path, features: Features) -> None:
    expected = origin_of(clip, task.digest, "proj" if isinstance(task.settings.spec, CsvBenchmark) else "replay")
    changed = [name for name, value in vars(expected).items() if vars(features.origin)[name] != value]
    if not changed and features.positions.tolist() != task.table["position"].to_pylist():
        changed = ["positions"]
    if changed:
        raise InputError(f"{file}: stale, made from other {' and '.join(changed)}; delete it, so that it is made again")


def _zero_shot(clip: Clip, vectors_ND: Floats, classes: Classes, templates: Sequence[Template]) -> Nearest:
    weights_CD = class_weights(classes.names, templates, partial(text_features, clip))
    return classify(vectors_ND, classes.of_image, weights_CD)


def _zero_shot_metrics(nearest: Nearest, classes: Classes, prefix: str) -> dict[str, float]:
    return {f"{prefix}/{top}": value for top, value in nearest.accuracy(len(classes.names)).items()}


def _few_shot_metrics(vectors_ND: Floats, classes: Classes, shots: Sequence[int]) -> dict[str, float]:
    metrics = {}
    for prefix, published in (("few_shot", False), ("published/few_shot", True)):
        for k, accuracies in simpleshot(vectors_ND, classes, shots, published=published).items():
            metrics[f"{prefix}/{k}"] = float(np.mean(accuracies))
            metrics[f"{prefix}/{k}_std"] = float(np.std(accuracies))
    return metrics


def _predictions(table: pa.Table, classes: Classes, nearest: Nearest) -> list[dict[str, Any]]:
    """One row an image; a class is shown by the label of its first image."""
    labels = table["class"].to_pylist()
    shown = [labels[first] for first in classes.first_image]
    return [
        {
            "position": position,
            "image": image,
            "class": label,
            "predicted": shown[predicted],
            "score": round(float(value), SCORE_DECIMALS),
            "correct": bool(rank == 0),
        }
        for position, image, label, predicted, value, rank in zip(
            table["position"].to_pylist(),
            table["image"].to_pylist(),
            labels,
            nearest.predicted,
            nearest.score,
            nearest.rank,
            strict=True,
        )
    ]


if __name__ == "__main__":
    run(score)
