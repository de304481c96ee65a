"""Few-shot classification by SimpleShot: nearest class mean of centred, normalised features (Wang et al. 2019).

Shapes: N images, C classes, k support images per class, Q query images, D embedding dimensions.
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
# How many classes with too few images a message names.
NAMED = 5

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Folds:
    """Results of all folds for one number of support images.

    Attributes:
        accuracies: accuracy over the query images of each fold.
        correct: number of folds that classified each image correctly [N].
        queried: number of folds in which each image was a query [N].
    """

    accuracies: list[float]
    correct: Indices
    queried: Indices

    @property
    def measure(self) -> Measure:
        """The mean accuracy, with its standard deviation over folds (all folds have the same number of queries)."""
        mean = share(self.correct, self.queried)
        return Measure(mean.terms, mean.statistic, float(np.std(self.accuracies)))


def too_few_images(classes: Classes, k: int) -> str:
    """Why there is no k-shot score: which classes have fewer than k + 1 images; "" if none has."""
    sizes = np.bincount(classes.of_image, minlength=len(classes.names))
    short = [f"{classes.names[number]!r} has {sizes[number]}" for number in np.flatnonzero(sizes <= k)]
    if not short:
        return ""
    more = f" and {len(short) - NAMED} more classes have too few" if len(short) > NAMED else ""
    return f"{k}-shot needs {k + 1} images per class; {', '.join(short[:NAMED])}{more}"


def simpleshot(features_ND: Floats, classes: Classes, shots: Sequence[int], *, accumulate: bool) -> dict[int, Folds]:
    """Results of five folds by number of support images; numbers for which a class has too few images are left out.

    Args:
        features_ND: image features, normalised.
        classes: the class of each image.
        shots: numbers of support images per class, in the order in which they are run.
        accumulate: keep shuffling the same lists, as bioclip-2 v1.0.1 and v2.0.0 do, so that a fold depends on all
            earlier folds and shots. Otherwise each fold starts from the row order.
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
    """The images of each class, in row order."""
    by_class = np.argsort(classes.of_image, kind="stable")
    sizes = np.bincount(classes.of_image, minlength=len(classes.names))
    return [images.tolist() for images in np.split(by_class, np.cumsum(sizes)[:-1])]


def nearest_mean(features_ND: Floats, support_Ck: Indices, query_Q: Indices) -> Indices:
    """The class [Q] whose support mean is nearest to each query, after centring on the mean of all support images."""
    mean_D = features_ND[support_Ck.ravel()].mean(axis=0)
    means_CD = unit(features_ND[support_Ck] - mean_D).mean(axis=1)
    queries_QD = unit(features_ND[query_Q] - mean_D)
    return nearest(queries_QD, means_CD)[0]
