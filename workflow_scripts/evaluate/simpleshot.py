"""Few-shot classification by SimpleShot: nearest class mean of centred, normalised features (Wang et al. 2019).

Shapes: N images, C classes, k support images a class, Q query images, D embedding dimensions.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.common.geometry import Floats, nearest, unit
from workflow_scripts.common.resampling import Measure, share
from workflow_scripts.evaluate.classes import Classes

FOLDS = 5
# Classes with too few images that are named.
NAMED = 5

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Folds:
    """What all folds with one number of support images say.

    Attributes:
        accuracies: over the query images of each fold.
        correct: how many folds got each image right [N].
        queried: in how many folds it was a query [N].
    """

    accuracies: list[float]
    correct: Indices
    queried: Indices

    @property
    def measure(self) -> Measure:
        """The mean accuracy, with its standard deviation over folds (all have equally many queries)."""
        mean = share(self.correct, self.queried)
        return Measure(mean.terms, mean.statistic, float(np.std(self.accuracies)))


def too_few_images(classes: Classes, k: int) -> str:
    """Why there is no k-shot score: the classes that have not k images and one to query, by name; "" where all have."""
    sizes = np.bincount(classes.of_image, minlength=len(classes.names))
    short = [f"{classes.names[number]!r} has {sizes[number]}" for number in np.flatnonzero(sizes <= k)]
    if not short:
        return ""
    more = f" and {len(short) - NAMED} more classes have too few" if len(short) > NAMED else ""
    return f"{k}-shot needs {k + 1} images a class; {', '.join(short[:NAMED])}{more}"


def simpleshot(features_ND: Floats, classes: Classes, shots: Sequence[int], *, accumulate: bool) -> dict[int, Folds]:
    """What five folds say, by number of support images; of numbers for which a class has too few images, nothing.

    Args:
        features_ND: image features, normalised.
        classes: each image's class; lists of images are in the order of the rows.
        shots: numbers of support images a class, in the order in which they are run.
        accumulate: shuffle the same lists again and again, as bioclip-2 v1.0.1 and v2.0.0 do, so that a fold depends on
            all folds and shots before it. Otherwise each fold shuffles the rows' order afresh.
    """
    members = _members(classes)
    found: dict[int, Folds] = {}
    for k in shots:
        if too_few_images(classes, k):
            continue
        found[k] = Folds([], np.zeros_like(classes.of_image), np.zeros_like(classes.of_image))
        for fold in range(FOLDS):
            if not accumulate:
                members = _members(classes)
            generator = random.Random(fold)
            for of_class in members:
                generator.shuffle(of_class)
            support_Ck = np.array([of_class[:k] for of_class in members])
            query_Q = np.concatenate([of_class[k:] for of_class in members])
            right_Q = nearest_mean(features_ND, support_Ck, query_Q) == classes.of_image[query_Q]
            found[k].accuracies.append(float(np.mean(right_Q)))
            found[k].correct[query_Q] += right_Q
            found[k].queried[query_Q] += 1
    return found


def _members(classes: Classes) -> list[list[int]]:
    """Each class's images in the order of the rows."""
    by_class = np.argsort(classes.of_image, kind="stable")
    sizes = np.bincount(classes.of_image, minlength=len(classes.names))
    return [images.tolist() for images in np.split(by_class, np.cumsum(sizes)[:-1])]


def nearest_mean(features_ND: Floats, support_Ck: Indices, query_Q: Indices) -> Indices:
    """The class whose support mean lies nearest to each query."""
    mean_D = features_ND[support_Ck.ravel()].mean(axis=0)
    means_CD = unit(features_ND[support_Ck] - mean_D).mean(axis=1)
    queries_QD = unit(features_ND[query_Q] - mean_D)
    return nearest(queries_QD, means_CD)[0]
