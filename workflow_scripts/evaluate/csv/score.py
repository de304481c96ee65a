"""Score a classification benchmark: zero-shot by all templates, few-shot by SimpleShot."""

from collections.abc import Sequence

import numpy as np

from workflow_scripts.common.clip import Clip
from workflow_scripts.common.config.evaluate import Classification
from workflow_scripts.common.geometry import Floats, unit
from workflow_scripts.common.prompts import TEMPLATES
from workflow_scripts.common.resampling import Measure, share
from workflow_scripts.evaluate.classes import Classes
from workflow_scripts.evaluate.csv.texts import classes_of
from workflow_scripts.evaluate.hierarchy import Lineage, height_on_errors, lineage, top1_by_rank
from workflow_scripts.evaluate.measures import Outcome
from workflow_scripts.evaluate.scoring import Embedded, Judged, Task, score_command
from workflow_scripts.evaluate.simpleshot import simpleshot
from workflow_scripts.evaluate.zero_shot import Nearest, predictions, zero_shot, zero_shot_measures


def judge(task: Task, embedded: Embedded) -> Judged:
    """Score a model on a benchmark whose images have a class each."""
    spec = task.settings.spec
    assert isinstance(spec, Classification)
    return classify(task, embedded.clip, unit(embedded.features.vectors), spec)


def classify(task: Task, clip: Clip, vectors_ND: Floats, spec: Classification) -> Judged:
    """Few-shot, and where the model reads text zero-shot by all templates and how wrong the wrong predictions are."""
    few_shot = _few_shot_measures(vectors_ND, Classes.in_order(task.table["class"].to_list()), spec.shots)
    classes = classes_of(task.table, spec.text_type)
    images, count = len(vectors_ND), len(classes.names)
    if not clip.has_text:
        return Judged(Outcome(few_shot, images, count, 1 / count))
    nearest = zero_shot(clip, vectors_ND, classes, TEMPLATES)
    measures = zero_shot_measures(nearest, classes, "zero_shot")
    if spec.published_text_type is not None:
        published = classes_of(task.table, spec.published_text_type)
        measures |= zero_shot_measures(
            zero_shot(clip, vectors_ND, published, TEMPLATES), published, "published/zero_shot"
        )
    lineages = [lineage(row) for row in task.table[classes.first_image].iter_rows(named=True)]
    by_rank = top1_by_rank(lineages, classes.of_image, nearest.predicted)
    if task.seen is not None:
        measures |= _by_acquaintance(task.seen, lineages, classes, nearest)
    return Judged(
        Outcome(measures | few_shot | by_rank, images, count, 1 / count),
        predictions(task.table, classes, nearest),
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


if __name__ == "__main__":
    score_command(judge)
