"""Score Herbarium19: category discovery by semi-supervised k-means (Vaze et al. 2022; bioclip-2's protocol).

Four fifths of the images of Old classes are labelled. The rest and all images of New classes are clustered into as many
clusters as there are classes, and clusters are matched to classes separately for Old and New. The labelled images are
the same in all versions. v1.0.1 clusters raw features with one seed, v2.0.0 raw features with the seeds 0 to 2, and
main-49e1cf5 normalised features with these seeds; all of them stop iterating when a cluster becomes empty, because its
centre becomes NaN. The corrected protocol follows main-49e1cf5, but an empty cluster keeps its centre.

Sums use single precision and the order of the published code, so that a seed draws the same centres.

Shapes: N images, L labelled and U unlabelled ones, K clusters, D embedding dimensions, S seeds.
"""

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from workflow_scripts.common.errors import InputError
from workflow_scripts.common.geometry import BLOCK_VALUES, Floats
from workflow_scripts.common.protocols import CORRECTED, Protocol
from workflow_scripts.common.resampling import Truths
from workflow_scripts.evaluate.columns import column_values
from workflow_scripts.evaluate.features import Features
from workflow_scripts.evaluate.measures import Outcome, mean_over_seeds
from workflow_scripts.evaluate.scoring import Embedded, ModelResult, Task, score_command

if TYPE_CHECKING:
    import polars as pl

# Seed of the draw of labelled images.
SEED = 0
SEEDS = (0, 1, 2)
LABELLED_SHARE = 0.8
ITERATIONS = 10
TOLERANCE = 1e-4
# Relative error bound of distances computed by a matrix product, as a share of the squared lengths. Where the error
# could change which centre is nearest, distances to the CANDIDATES nearest centres are computed term by term.
ROUNDING = 2e-5
CANDIDATES = 3

Indices = NDArray[np.int64]


class Version(NamedTuple):
    """Settings of a version of the protocol: whether features are normalised, and the seeds of k-means++."""

    normalised: bool
    seeds: tuple[int, ...]


VERSIONS: dict[Protocol, Version] = {
    "v1.0.1": Version(False, SEEDS[:1]),
    "v2.0.0": Version(False, SEEDS),
    "main-49e1cf5": Version(True, SEEDS),
    "corrected": Version(True, SEEDS),
}


class Clustering(NamedTuple):
    """The cluster of each image [N].

    Attributes:
        published: stopping when a cluster becomes empty.
        corrected: keeping the centre of an empty cluster.
    """

    published: Indices
    corrected: Indices


def herbarium19(features: Features, table: "pl.DataFrame") -> Outcome:
    """Clustering accuracy on the unlabelled images, as `clustering/all`, `clustering/old` and `clustering/new`.

    Args:
        features: image features.
        table: the images in the order of their sorted folders, with `class` and `split` (old, new).

    Raises:
        InputError: there is no Old class, no New class, or an Old class without a labelled image.
    """
    splits = np.array(column_values(table, "split"))
    names, class_N = np.unique(np.array(column_values(table, "class")), return_inverse=True)
    old_N = splits == "old"
    if old_N.all() or not old_N.any():
        raise InputError(
            "Herbarium19 needs images of both Old and New classes; check its split file (`classes`) and its account"
        )
    labelled_N = labelled_images(old_N)
    if unlabelled := sorted(set(class_N[old_N]) - set(class_N[labelled_N])):
        raise InputError(f"class {str(names[unlabelled[0]])!r} has too few images: none was drawn as labelled")
    variants = {False: features, True: features.normalised()}
    vectors = {
        protocol: variants[version.normalised].for_protocol(protocol, autocast=False)
        for protocol, version in VERSIONS.items()
    }
    distinct = {id(one): one for one in vectors.values()}

    @cache
    def clustering(which: int, seed: int) -> Clustering:
        return cluster(distinct[which], class_N, labelled_N, clusters=len(names), seed=seed)

    def correct_SU(protocol: Protocol) -> Truths:
        correct = np.zeros((len(VERSIONS[protocol].seeds), len(table)), np.bool_)
        for row, seed in enumerate(VERSIONS[protocol].seeds):
            found = clustering(id(vectors[protocol]), seed)
            cluster_N = found.corrected if protocol == CORRECTED else found.published
            for group_N in (old_N & ~labelled_N, ~old_N):
                correct[row, group_N] = matched(class_N[group_N], cluster_N[group_N], len(names))
        return correct[:, ~labelled_N]

    old_U = old_N[~labelled_N]
    groups = {"all": np.ones_like(old_U), "old": old_U, "new": ~old_U}
    correct = {protocol: correct_SU(protocol) for protocol in VERSIONS}
    return Outcome(
        {
            f"clustering/{name}": {protocol: mean_over_seeds(of, group_U) for protocol, of in correct.items()}
            for name, group_U in groups.items()
        },
        images=len(old_U),
        classes=len(names),
    )


def labelled_images(old_N: Truths) -> Truths:
    """Draw the labelled images: int(0.8 N) of all N Old images, not stratified by class."""
    old = np.flatnonzero(old_N)
    drawn = np.random.RandomState(SEED).choice(len(old), replace=False, size=int(LABELLED_SHARE * len(old)))
    labelled = np.zeros(len(old_N), np.bool_)
    labelled[old[drawn]] = True
    return labelled


def cluster(
    features_ND: Floats, class_N: Indices, labelled_N: Truths, *, clusters: int, seed: int = SEED
) -> Clustering:
    """Cluster images by semi-supervised k-means.

    Labelled images stay in their class's cluster. The initial centres are the means of the labelled classes and, for
    the other clusters, centres drawn by k-means++ from the unlabelled images. All centres are updated. The result is
    the assignment with the lowest inertia.

    Args:
        features_ND: features.
        class_N: classes; ignored for unlabelled images.
        labelled_N: which images are labelled.
        clusters: number of clusters.
        seed: seed of k-means++.
    """
    known, of_labelled = np.unique(class_N[labelled_N], return_inverse=True)
    labelled_L = torch.from_numpy(of_labelled)
    labelled_LD, free_UD = torch.from_numpy(features_ND[labelled_N]), torch.from_numpy(features_ND[~labelled_N])
    all_ND = torch.cat([labelled_LD, free_UD])
    means_KD = _means(labelled_LD, labelled_L, torch.zeros(len(known), features_ND.shape[1]))
    centres_KD = _plus_plus(free_UD, means_KD, clusters, np.random.RandomState(seed))
    best = torch.tensor(torch.inf)
    kept = torch.empty(len(all_ND), dtype=torch.int64)
    published: torch.Tensor | None = None
    for _ in range(ITERATIONS):
        nearest_U, distance_U = _nearest(free_UD, centres_KD)
        inertia = distance_U.sum() + torch.sum((labelled_LD - centres_KD[labelled_L]) ** 2, dim=1).sum()
        cluster_N = torch.cat([labelled_L, nearest_U])
        if inertia < best:
            best, kept = inertia, cluster_N
        if published is None and len(torch.unique(cluster_N)) < clusters:
            published = kept
        moved_KD = _means(all_ND, cluster_N, centres_KD)
        shift = torch.sum(torch.sqrt(torch.sum((moved_KD - centres_KD) ** 2, dim=1)))
        centres_KD = moved_KD
        if shift**2 < TOLERANCE:
            break
    return Clustering(
        _in_image_order(kept if published is None else published, labelled_N), _in_image_order(kept, labelled_N)
    )


def matched(class_N: Indices, cluster_N: Indices, classes: int) -> Truths:
    """Whether each image is in the cluster matched to its class, under the best one-to-one matching."""
    from scipy.optimize import linear_sum_assignment

    together = np.bincount(cluster_N * classes + class_N, minlength=classes**2).reshape(classes, classes)
    of_cluster = linear_sum_assignment(together, maximize=True)[1]
    return np.asarray(of_cluster[cluster_N] == class_N)


def _in_image_order(cluster_N: torch.Tensor, labelled_N: Truths) -> Indices:
    """Reorder clusters, given for labelled images first and then for the others, to the order of all images."""
    ordered = np.empty(len(labelled_N), np.int64)
    labelled = int(labelled_N.sum())
    ordered[labelled_N], ordered[~labelled_N] = cluster_N[:labelled].numpy(), cluster_N[labelled:].numpy()
    return ordered


def _means(features_ND: torch.Tensor, cluster_N: torch.Tensor, centres_KD: torch.Tensor) -> torch.Tensor:
    """The mean of each cluster [K, D]; an empty cluster keeps its centre."""
    order_N = torch.argsort(cluster_N, stable=True)
    members = torch.split(order_N, torch.bincount(cluster_N, minlength=len(centres_KD)).tolist())
    return torch.stack(
        [features_ND[rows].mean(dim=0) if len(rows) else old_D for rows, old_D in zip(members, centres_KD, strict=True)]
    )


def _nearest(features_ND: torch.Tensor, centres_KD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The nearest centre of each vector [N] and the squared distance to it [N], as the sum of squared differences."""
    squares_N, squares_K = (features_ND**2).sum(dim=1), (centres_KD**2).sum(dim=1)
    candidates = min(CANDIDATES, len(centres_KD))
    found, distances = [], []
    rows = max(1, BLOCK_VALUES // max(len(centres_KD), features_ND.shape[1]))
    for block_BD, squares_B in zip(features_ND.split(rows), squares_N.split(rows), strict=True):
        # |v - c|^2 = |v|^2 - 2 v.c + |c|^2 needs only a matrix product; all differences would take N x K x D memory.
        rough_BK = torch.addmm(squares_K, block_BD, centres_KD.T, alpha=-2)
        rough_BC, near_BC = torch.topk(rough_BK, candidates, largest=False)
        near_B = near_BC[:, 0].clone()
        distance_B = _squared_distances(block_BD, centres_KD[near_B])
        if candidates > 1:
            unsure = torch.nonzero(rough_BC[:, 1] - rough_BC[:, 0] < ROUNDING * (squares_B + squares_K.max()))[:, 0]
            of_unsure = near_BC[unsure].sort(dim=1).values
            exact = _squared_distances(block_BD[unsure, None], centres_KD[of_unsure])
            distance_B[unsure], place = exact.min(dim=1)
            near_B[unsure] = of_unsure.gather(1, place[:, None])[:, 0]
        found.append(near_B)
        distances.append(distance_B)
    return torch.cat(found), torch.cat(distances)


def _squared_distances(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Squared distances, summed as in the published code."""
    return ((one - other) ** 2).sum(dim=-1)


def _plus_plus(
    features_ND: torch.Tensor, centres_KD: torch.Tensor, clusters: int, generator: np.random.RandomState
) -> torch.Tensor:
    """Extend the centres to `clusters` by k-means++: draw images with probability proportional to squared distance."""
    chosen = [centres_KD]
    squares_N = (features_ND**2).sum(dim=1)
    _, distance_N = _nearest(features_ND, centres_KD)
    drawn = len(features_ND) - 1
    for _ in range(clusters - len(centres_KD)):
        reached_N = torch.cumsum(distance_N / distance_N.sum(), dim=0)
        place = int(torch.searchsorted(reached_N, torch.tensor(generator.rand(), dtype=reached_N.dtype)))
        # Rounding may leave the last sum below the draw; the published code then repeats the previous image.
        drawn = place if place < len(reached_N) else drawn
        centre_D = features_ND[drawn]
        chosen.append(centre_D[None])
        rough_N = torch.addmv(squares_N, features_ND, centre_D, alpha=-2) + squares_N[drawn]
        nearer = torch.nonzero(rough_N < distance_N + ROUNDING * (squares_N + squares_N[drawn]))[:, 0]
        distance_N[nearer] = torch.minimum(distance_N[nearer], _squared_distances(features_ND[nearer], centre_D))
    return torch.cat(chosen)


def score_model(task: Task, embedded: Embedded) -> ModelResult:
    """Score a model on the benchmark."""
    return ModelResult(herbarium19(embedded.features, task.table))


if __name__ == "__main__":
    score_command(score_model)
