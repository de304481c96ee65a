"""Score PlantDoc: one-shot classification of the test split by SimpleShot (Singh et al. 2020; bioclip-2's protocol).

v1.0.1 and v2.0.0 do not normalise features before centring, and seed the generator once for all repeats; main-49e1cf5
normalises them and seeds each repeat. All three identify a class by the index of its folder within the split, so that
every folder after one that is missing from `test` is matched to the wrong class; the corrected protocol uses the
folder's name. The published code reads the training images in the order of its shuffling loader, which depends on the
torch version; here they are in row order.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.common.errors import InputError
from workflow_scripts.common.geometry import Floats, unit
from workflow_scripts.common.protocols import Protocol
from workflow_scripts.common.resampling import Measure
from workflow_scripts.evaluate.columns import column_values, rows_of
from workflow_scripts.evaluate.features import Features
from workflow_scripts.evaluate.measures import Outcome, by_protocol, mean_over_seeds
from workflow_scripts.evaluate.scoring import Embedded, ModelResult, Task, score_command
from workflow_scripts.evaluate.simpleshot import nearest_mean

if TYPE_CHECKING:
    import polars as pl

REPEATS = 5


def plantdoc(features: Features, table: "pl.DataFrame") -> Outcome:
    """Accuracy on the test images with one training image per class, as `few_shot/1`: the mean over five repeats.

    Args:
        features: image features.
        table: the images, with `split` (train, test), `class` (the folder) and `class_index` (its index in the split).

    Raises:
        InputError: a split is empty, or a test class has no training image.
    """
    train, test = rows_of(table, "train"), rows_of(table, "test")
    names = np.array(column_values(table, "class"))
    if unknown := sorted(set(names[test]) - set(names[train])):
        raise InputError(f"test class {str(unknown[0])!r} has no training image; add its folder to train")
    numbers = np.array([int(number) for number in column_values(table, "class_index")])

    def one_shot(features_ND: Floats, normalised: bool, class_N: NDArray[np.generic], seeded: str) -> Measure:
        first = np.random.RandomState(0)
        generators = [first if seeded == "once" else np.random.RandomState(repeat) for repeat in range(REPEATS)]
        return _one_shot(unit(features_ND) if normalised else features_ND, class_N, train, test, generators)

    given: dict[Protocol, tuple[Any, ...]] = {
        "v1.0.1": (features.for_protocol("v1.0.1"), False, numbers, "once"),
        "v2.0.0": (features.for_protocol("v2.0.0"), False, numbers, "once"),
        "main-49e1cf5": (features.for_protocol("main-49e1cf5"), True, numbers, "each"),
        "corrected": (features.for_protocol("corrected"), True, names, "each"),
    }
    return Outcome(
        {"few_shot/1": by_protocol(given, one_shot)},
        images=len(test),
        classes=len(set(names[train])),
        chance=1 / len(set(names[train])),
    )


def _one_shot(
    features_ND: Floats,
    class_N: NDArray[np.generic],
    train: NDArray[np.int64],
    test: NDArray[np.int64],
    generators: list[np.random.RandomState],
) -> Measure:
    classes = np.unique(class_N[train])
    members = [train[class_N[train] == one] for one in classes]
    correct_RN = np.zeros((REPEATS, len(test)), np.int64)
    for repeat, generator in enumerate(generators):
        support = []
        for images in members:
            shuffled = images.copy()
            generator.shuffle(shuffled)
            support.append(shuffled[:1])
        # The published code also shuffles the support images; that affects only the generator's next draws.
        generator.shuffle(np.arange(len(support)))
        nearest = nearest_mean(features_ND, np.array(support), test)
        correct_RN[repeat] = classes[nearest] == class_N[test]
    return mean_over_seeds(correct_RN)


def score_model(task: Task, embedded: Embedded) -> ModelResult:
    """Score a model on the benchmark."""
    return ModelResult(plantdoc(embedded.features, task.table))


if __name__ == "__main__":
    score_command(score_model)
