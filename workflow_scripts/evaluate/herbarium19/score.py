"""Herbarium19: generalised category discovery by semi-supervised k-means (Vaze et al. 2022; bioclip-2's protocol).

Four fifths of the images of Old classes are labelled; the others and all images of New classes are to be sorted into
as many clusters as there are classes. Clusters are then matched to classes, apart for Old and New.

Shapes: N images, K clusters, D embedding dimensions.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.common.errors import InputError
from workflow_scripts.common.geometry import Floats, nearest, unit
from workflow_scripts.common.resampling import Truths, share
from workflow_scripts.evaluate.columns import texts
from workflow_scripts.evaluate.measures import Outcome
from workflow_scripts.evaluate.scoring import Embedded, Judged, Task, score_command

if TYPE_CHECKING:
    import polars as pl

SEED = 0
LABELLED_SHARE = 0.8
ITERATIONS = 10
TOLERANCE = 1e-4

Indices = NDArray[np.int64]


def herbarium19(features_ND: Floats, table: "pl.DataFrame") -> Outcome:
    """Clustering accuracy over the unlabelled images, as `clustering/all`, and of Old and New classes alone.

    Args:
        features_ND: image features.
        table: the images in the order of their sorted folders, with `class` and `split` (old, new).

    Raises:
        InputError: there is no Old or no New class, or an Old class without a labelled image.
    """
    splits = np.array(texts(table, "split"))
    names, class_N = np.unique(np.array(texts(table, "class")), return_inverse=True)
    old_N = splits == "old"
    if old_N.all() or not old_N.any():
        raise InputError("Herbarium19 needs images of Old and of New classes; see its split file and its account")
    labelled_N = labelled_images(old_N)
    if silent := sorted(set(class_N[old_N]) - set(class_N[labelled_N])):
        raise InputError(f"class {str(names[silent[0]])!r}: none of its images was drawn as labelled; it has too few")
    cluster_N = cluster(unit(features_ND), class_N, labelled_N, clusters=len(names))
    correct_N = np.zeros(len(table), np.int64)
    for group_N in (old_N & ~labelled_N, ~old_N):
        correct_N[group_N] = matched(class_N[group_N], cluster_N[group_N], len(names))
    correct_U, old_U = correct_N[~labelled_N], old_N[~labelled_N]
    return Outcome(
        {
            "clustering/all": share(correct_U),
            "clustering/old": share(correct_U * old_U, old_U),
            "clustering/new": share(correct_U * ~old_U, ~old_U),
        },
        images=len(correct_U),
        classes=len(names),
    )


def labelled_images(old_N: Truths) -> Truths:
    """Which images are labelled: int(0.8 N) of all Old ones, drawn together, so that rare classes may get few."""
    old = np.flatnonzero(old_N)
    drawn = np.random.RandomState(SEED).choice(len(old), replace=False, size=int(LABELLED_SHARE * len(old)))
    labelled = np.zeros(len(old_N), np.bool_)
    labelled[old[drawn]] = True
    return labelled


def cluster(features_ND: Floats, class_N: Indices, labelled_N: Truths, *, clusters: int) -> Indices:
    """Semi-supervised k-means: the cluster of each image [N].

    Labelled images keep their class's cluster. Their means are the first centres, k-means++ over the unlabelled images
    picks the others; all of them move. A cluster that has lost every image stays where it was. The assignment with
    the least inertia is kept.

    Args:
        features_ND: normalised features.
        class_N: classes; those of unlabelled images are not looked at.
        labelled_N: which images are labelled.
        clusters: how many clusters.
    """
    labelled_of = class_N[labelled_N]
    known, cluster_of_labelled = np.unique(labelled_of, return_inverse=True)
    labelled_LD, free_UD = features_ND[labelled_N], features_ND[~labelled_N]
    sums, counts = _sums(labelled_LD, cluster_of_labelled, len(known))
    centres_KD = _plus_plus(free_UD, (sums / counts[:, None]).astype(np.float32), clusters)
    best = np.inf
    kept = np.empty(len(class_N), np.int64)
    for _ in range(ITERATIONS):
        nearest_U, distance_U = nearest(free_UD, centres_KD)
        inertia = distance_U.sum() + ((labelled_LD - centres_KD[cluster_of_labelled]) ** 2).sum(dtype=np.float64)
        if inertia < best:
            best = inertia
            kept[labelled_N], kept[~labelled_N] = cluster_of_labelled, nearest_U
        free_sums, free_counts = _sums(free_UD, nearest_U, clusters)
        free_sums[: len(known)] += sums
        free_counts[: len(known)] += counts
        filled = free_counts > 0
        moved_KD = centres_KD.copy()
        moved_KD[filled] = free_sums[filled] / free_counts[filled, None]
        shift = np.linalg.norm(moved_KD - centres_KD, axis=1).sum()
        centres_KD = moved_KD
        if shift**2 < TOLERANCE:
            break
    return kept


def matched(class_N: Indices, cluster_N: Indices, classes: int) -> Truths:
    """Whether each image lies in the cluster matched to its class, under the one-to-one matching with most hits."""
    from scipy.optimize import linear_sum_assignment

    together = np.bincount(cluster_N * classes + class_N, minlength=classes**2).reshape(classes, classes)
    of_cluster = linear_sum_assignment(together, maximize=True)[1]
    return np.asarray(of_cluster[cluster_N] == class_N)


def _sums(features_ND: Floats, cluster_N: Indices, clusters: int) -> tuple[NDArray[np.float64], Indices]:
    """Sum and number of the features of each cluster."""
    sums = np.zeros((clusters, features_ND.shape[1]))
    order = np.argsort(cluster_N, kind="stable")
    counts = np.bincount(cluster_N, minlength=clusters)
    filled = np.flatnonzero(counts)
    starts = (np.cumsum(counts) - counts)[filled]
    sums[filled] = np.add.reduceat(features_ND[order].astype(np.float64), starts, axis=0)
    return sums, counts


def _plus_plus(features_ND: Floats, centres_KD: Floats, clusters: int) -> Floats:
    """The centres and those that k-means++ adds to them: images, drawn in proportion to their squared distance."""
    generator = np.random.RandomState(SEED)
    chosen = [centres_KD]
    _, distance_N = nearest(features_ND, centres_KD)
    for _ in range(clusters - len(centres_KD)):
        total = np.cumsum(distance_N)
        drawn = min(int(np.searchsorted(total, generator.rand() * total[-1])), len(features_ND) - 1)
        centre = features_ND[drawn]
        chosen.append(centre[None])
        distance_N = np.minimum(distance_N, np.maximum(2 - 2 * (features_ND @ centre), 0))
    return np.concatenate(chosen)


def judge(task: Task, embedded: Embedded) -> Judged:
    """Score a model on the benchmark."""
    return Judged(herbarium19(embedded.features.vectors, task.table))


if __name__ == "__main__":
    score_command(judge)
