"""Few-shot classification by SimpleShot: nearest class mean of centred, normalised features (Wang et al. 2019).

Shapes: N images, C classes, k support images a class, Q query images, D embedding dimensions.
"""

import random
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.common.errors import InputError
from workflow_scripts.evaluate.classes import Classes
from workflow_scripts.evaluate.geometry import Floats, unit

FOLDS = 5

Indices = NDArray[np.int64]


def simpleshot(
    features_ND: Floats, classes: Classes, shots: Sequence[int], *, published: bool
) -> dict[int, list[float]]:
    """Accuracy over the query images of each fold, by number of support images.

    Args:
        features_ND: image features, normalised.
        classes: each image's class; lists of images are in the order of the rows.
        shots: numbers of support images a class, in the order in which they are run.
        published: shuffle the same lists again and again, as bioclip-2 v1.0.1 did, so that a fold depends on all
            folds and shots before it. Otherwise each fold shuffles the rows' order afresh.

    Raises:
        InputError: a class has too few images.
    """
    members = _members(classes)
    for number, images in enumerate(members):
        if shots and len(images) <= max(shots):
            raise InputError(
                f"class {classes.names[number]!r} has {len(images)} images; {max(shots)}-shot needs at least "
                f"{max(shots) + 1} (leave it out, or set fewer shots)"
            )
    accuracies: dict[int, list[float]] = {}
    for k in shots:
        accuracies[k] = []
        for fold in range(FOLDS):
            if not published:
                members = _members(classes)
            generator = random.Random(fold)
            for images in members:
                generator.shuffle(images)
            support_Ck = np.array([images[:k] for images in members])
            query_Q = np.concatenate([images[k:] for images in members])
            nearest_Q = _nearest_mean(features_ND, support_Ck, query_Q)
            accuracies[k].append(float(np.mean(nearest_Q == classes.of_image[query_Q])))
    return accuracies


def _members(classes: Classes) -> list[list[int]]:
    """Each class's images in the order of the rows."""
    by_class = np.argsort(classes.of_image, kind="stable")
    sizes = np.bincount(classes.of_image, minlength=len(classes.names))
    return [images.tolist() for images in np.split(by_class, np.cumsum(sizes)[:-1])]


def _nearest_mean(features_ND: Floats, support_Ck: Indices, query_Q: Indices) -> Indices:
    """The class whose support mean lies nearest to each query."""
    mean_D = features_ND[support_Ck.ravel()].mean(axis=0)
    means_CD = unit(features_ND[support_Ck] - mean_D).mean(axis=1)
    queries_QD = unit(features_ND[query_Q] - mean_D)
    # |q - m|^2 = |q|^2 - 2 q.m + |m|^2: matrix products, for the differences themselves would take Q x C x D values.
    distance_QC = (means_CD**2).sum(axis=1) - 2 * (queries_QD @ means_CD.T)
    return distance_QC.argmin(axis=1)
