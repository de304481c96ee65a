"""Triplet accuracy: whether the closer relative of an image is also closer in the embedding.

Shapes: N images, D dimensions, M anchors, T triplets per anchor.
"""

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.common.geometry import Floats
from workflow_scripts.common.resampling import Measure, share
from workflow_scripts.contracts import RANKS
from workflow_scripts.evaluate.measures import mean_of

SEED = 0
Integers = NDArray[np.int64]


def triplet_accuracy(vectors_ND: Floats, codes_NR: Integers, count: int) -> dict[str, Measure]:
    """Triplet accuracy at each rank as `triplet/RANK`, and their mean as `triplet/mean`; chance is one half.

    At a given rank, the positive is another image of the anchor's taxon, and the negative is an image of a sister
    taxon: same parent, different taxon. A triplet is correct if the positive has the larger cosine similarity. Every
    model gets the same triplets. Ranks without sister taxa are left out.

    Args:
        vectors_ND: features of unit length.
        codes_NR: integer codes of the names, kingdom first, -1 if unknown.
        count: triplets to draw per image and rank.
    """
    generator = np.random.default_rng(SEED)
    measures = {}
    for place, rank in enumerate(RANKS):
        above_N = codes_NR[:, place - 1] if place else np.zeros(len(codes_NR), np.int64)
        anchors, positives_MT, negatives_MT = _draw_triplets(above_N, codes_NR[:, place], count, generator)
        if not len(anchors):
            continue
        right_N, tried_N = np.zeros((2, len(codes_NR)), np.int64)
        tried_N[anchors] = count
        for positive_M, negative_M in zip(positives_MT.T, negatives_MT.T, strict=True):
            nearer_MD = vectors_ND[positive_M] - vectors_ND[negative_M]
            right_N[anchors] += np.einsum("md,md->m", vectors_ND[anchors], nearer_MD) > 0
        measures[f"triplet/{rank}"] = share(right_N, tried_N)
    return measures | ({"triplet/mean": mean_of(list(measures.values()))} if measures else {})


def _draw_triplets(
    above_N: Integers, taxon_N: Integers, count: int, generator: np.random.Generator
) -> tuple[Integers, Integers, Integers]:
    """Draw the anchors [M] that have positives and negatives, their positives [M, T] and their negatives [M, T]."""
    known = np.flatnonzero((above_N >= 0) & (taxon_N >= 0))
    order = known[np.lexsort((taxon_N[known], above_N[known]))]
    # In this order the images of a taxon are contiguous, and so are those of a parent.
    own_start, own_size = _runs(np.stack([above_N[order], taxon_N[order]], axis=1))
    all_start, all_size = _runs(above_N[order][:, None])
    place = np.flatnonzero((own_size > 1) & (all_size > own_size))
    start, size = own_start[place, None], own_size[place, None]
    first, others = all_start[place, None], all_size[place, None] - size
    step = generator.integers(1, size, (len(place), count))
    positive = start + (place[:, None] - start + step) % size
    turn = generator.integers(0, others, (len(place), count))
    negative = first + turn + np.where(turn >= start - first, size, 0)
    return order[place], order[positive], order[negative]


def _runs(keys: Integers) -> tuple[Integers, Integers]:
    """Start and length of the run of equal rows that each row of the sorted keys [N, K] is in."""
    if not len(keys):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    starts = np.flatnonzero(np.r_[True, (keys[1:] != keys[:-1]).any(axis=1)])
    sizes = np.diff(np.r_[starts, len(keys)])
    return np.repeat(starts, sizes), np.repeat(sizes, sizes)
