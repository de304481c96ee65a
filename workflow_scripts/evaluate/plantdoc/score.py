"""PlantDoc: one-shot classification of the test split by SimpleShot (Singh et al. 2020; bioclip-2's protocol).

Published: features are not normalised before centring, the generator is seeded once for all repeats, and a class is
the number of its folder within its split, so that the folders behind one that test lacks are taken for others.
Corrected: features are normalised, each repeat is seeded, and a class is the folder's name. The published code also
read the training images in a random order of its loader, which nobody can repeat; here it is the order of the rows.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.common.errors import InputError
from workflow_scripts.common.geometry import Floats, unit
from workflow_scripts.common.resampling import Measure, share
from workflow_scripts.evaluate.columns import rows_of, texts
from workflow_scripts.evaluate.measures import Outcome
from workflow_scripts.evaluate.scoring import Embedded, Judged, Task, score_command
from workflow_scripts.evaluate.simpleshot import nearest_mean

if TYPE_CHECKING:
    import polars as pl

REPEATS = 5


def plantdoc(features_ND: Floats, table: "pl.DataFrame") -> Outcome:
    """Accuracy over the test images with one training image a class, as `few_shot/1`; the mean over five repeats.

    Args:
        features_ND: image features.
        table: the images, with `split` (train, test), the folder as `class`, and `class_index`, its number within the
            split.

    Raises:
        InputError: a split is empty, or a test class has no training image.
    """
    train, test = rows_of(table, "train"), rows_of(table, "test")
    names = np.array(texts(table, "class"))
    if unknown := sorted(set(names[test]) - set(names[train])):
        raise InputError(f"test class {str(unknown[0])!r} has no training image; add its folder to train")
    numbers = np.array([int(number) for number in texts(table, "class_index")])
    corrected = [np.random.RandomState(repeat) for repeat in range(REPEATS)]
    published = [np.random.RandomState(0)] * REPEATS
    return Outcome(
        {
            "few_shot/1": _one_shot(unit(features_ND), names, train, test, corrected),
            "published/few_shot/1": _one_shot(features_ND, numbers, train, test, published),
        },
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
        # The published code then mixes the chosen images; no score depends on their order, but the next repeat does.
        generator.shuffle(np.arange(len(support)))
        nearest = nearest_mean(features_ND, np.array(support), test)
        correct_RN[repeat] = classes[nearest] == class_N[test]
    mean = share(correct_RN.sum(axis=0), np.full(len(test), REPEATS))
    return Measure(mean.terms, mean.statistic, float(np.std(correct_RN.mean(axis=1))))


def judge(task: Task, embedded: Embedded) -> Judged:
    """Score a model on the benchmark."""
    return Judged(plantdoc(embedded.features.vectors, task.table))


if __name__ == "__main__":
    score_command(judge)
