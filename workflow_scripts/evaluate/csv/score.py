"""Score a classification benchmark: zero-shot with all templates, few-shot with SimpleShot."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workflow_scripts.common.clip import Clip
from workflow_scripts.common.config.evaluate import Classification
from workflow_scripts.common.geometry import Floats
from workflow_scripts.common.prompts import TEMPLATES
from workflow_scripts.common.protocols import CORRECTED, PROTOCOLS, Protocol
from workflow_scripts.common.resampling import Measure, share
from workflow_scripts.evaluate.classes import Classes
from workflow_scripts.evaluate.csv.texts import classes_of
from workflow_scripts.evaluate.features import Features
from workflow_scripts.evaluate.hierarchy import Lineage, height_on_errors, lineage, top1_by_rank
from workflow_scripts.evaluate.measures import ByProtocol, Outcome, by_protocol, corrected
from workflow_scripts.evaluate.scoring import Embedded, ModelResult, Task, score_command
from workflow_scripts.evaluate.simpleshot import simpleshot, too_few_images
from workflow_scripts.evaluate.zero_shot import Nearest, predictions, zero_shot, zero_shot_measures

if TYPE_CHECKING:
    import polars as pl


def score_model(task: Task, embedded: Embedded) -> ModelResult:
    """Score a model on a classification benchmark."""
    spec = task.settings.spec
    assert isinstance(spec, Classification)
    return classify(task, embedded.clip, embedded.features.normalised(), spec)


def classify(task: Task, clip: Clip, features: Features, spec: Classification) -> ModelResult:
    """Score few-shot and, if the model has a text tower, zero-shot with the severity of its errors.

    Args:
        task: the benchmark or one of its subsets.
        clip: the model.
        features: its normalised features of the images.
        spec: the benchmark's settings.
    """
    classes = classes_of(task.table, spec.text_type)
    images, count = len(task.table), len(classes.names)
    few_shot, left_out = _few_shot(features, task.table, classes, spec.shots)
    if not clip.has_text:
        return ModelResult(Outcome(few_shot, images, count, 1 / count, left_out))
    first = classes_of(task.table, spec.published_text_type) if spec.published_text_type else classes
    given = {
        protocol: (features.for_protocol(protocol), first if protocol == "v1.0.1" else classes)
        for protocol in PROTOCOLS
    }
    found = zero_shot(clip, given, TEMPLATES)
    nearest = found[CORRECTED]
    lineages = [lineage(row) for row in task.table[classes.first_image].iter_rows(named=True)]
    by_rank = top1_by_rank(lineages, classes.of_image, nearest.predicted)
    seen = {} if task.seen is None else _by_seen(task.seen, lineages, classes, nearest)
    more = {metric: corrected(measure) for metric, measure in (by_rank | seen).items()}
    return ModelResult(
        Outcome(zero_shot_measures(found) | few_shot | more, images, count, 1 / count, left_out),
        predictions(task.table, classes, nearest),
        height_on_errors(lineages, classes.of_image, nearest.predicted) if by_rank else None,
    )


def _few_shot(
    features: Features, table: "pl.DataFrame", named: Classes, shots: Sequence[int]
) -> tuple[dict[str, ByProtocol], dict[str, str]]:
    """SimpleShot scores by protocol, and why scores are missing because a class has too few images.

    In v1.0.1 and v2.0.0 a class is a label; in main-49e1cf5 it is the class name in prompts.
    """
    classes = Classes.in_order(table["class"].to_list())
    by_name = classes if np.array_equal(classes.of_image, named.of_image) else named

    def measures(vectors_ND: Floats, classes: Classes, accumulate: bool) -> dict[int, Measure]:
        return {k: folds.measure for k, folds in simpleshot(vectors_ND, classes, shots, accumulate=accumulate).items()}

    given: dict[Protocol, tuple[Any, ...]] = {
        "v1.0.1": (features.for_protocol("v1.0.1"), classes, True),
        "v2.0.0": (features.for_protocol("v2.0.0"), classes, True),
        "main-49e1cf5": (features.for_protocol("main-49e1cf5"), by_name, False),
        "corrected": (features.for_protocol("corrected"), classes, False),
    }
    found = by_protocol(given, measures)
    scored: dict[str, ByProtocol] = {
        f"few_shot/{k}": {protocol: of[k] for protocol, of in found.items() if k in of} for k in shots
    }
    why = {f"few_shot/{k}": too_few_images(classes, k) or too_few_images(by_name, k) for k in shots}
    return scored, {metric: reason for metric, reason in why.items() if reason}


def _by_seen(
    seen: frozenset[str], lineages: Sequence[Lineage], classes: Classes, nearest: Nearest
) -> dict[str, Measure]:
    """Top-1 among all classes, separately for images of species seen and not seen in training."""
    species_N = np.array([one[-1] for one in lineages])[classes.of_image]
    right_N, seen_N = nearest.rank == 0, np.isin(species_N, list(seen))
    groups = {"seen": seen_N, "unseen": (species_N != "") & ~seen_N}
    return {f"{name}/zero_shot/top1": share(right_N & those, those) for name, those in groups.items() if those.any()}


if __name__ == "__main__":
    score_command(score_model)
