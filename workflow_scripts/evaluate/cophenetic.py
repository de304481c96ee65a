"""Cophenetic correlation between distances of features and distances in the taxonomy.

Shapes: N images, D dimensions, C distinct lineages, B draws.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.common.geometry import Floats
from workflow_scripts.common.resampling import Integers, Reals, drawn_counts
from workflow_scripts.contracts import RANKS

# Rows of the distance matrix in memory at once: 20 MB (float32) at 5,000 images.
BLOCK = 1024


@dataclass(frozen=True)
class Pairs:
    """Sums over pairs of images, by the lineages of both [C, C]; an image is not paired with itself.

    Attributes:
        count: number of pairs.
        distance: sum of their cosine distances.
        square: sum of their squared cosine distances.
        height: height of the lineages' lowest common ancestor, 0 (same species) to 7 (nothing in common).
    """

    count: Reals
    distance: Reals
    square: Reals
    height: NDArray[np.int8]

    def correlation(self, weights_BC: Reals) -> Reals:
        """Cophenetic correlation [B] with lineages weighted by their multiplicity; NaN if distances do not vary.

        Pearson correlation of cosine distance and cophenetic distance in the taxonomy (Sokal & Rohlf 1962). Two copies
        of a lineage form no pairs with each other, since images would be compared with themselves.

        Args:
            weights_BC: how often each resample contains each lineage.
        """

        def total(of_pairs_CC: Reals) -> Reals:
            within_C = np.diag(of_pairs_CC)
            all_B = np.einsum("bc,bc->b", weights_BC @ of_pairs_CC, weights_BC)
            return np.asarray(all_B - (weights_BC**2 - weights_BC) @ within_C)

        pairs, x, y = total(self.count), total(self.distance), total(self.count * self.height)
        xx, xy = total(self.square), total(self.distance * self.height)
        yy = total(self.count * self.height.astype(np.float64) ** 2)
        with np.errstate(divide="ignore", invalid="ignore"):
            return (pairs * xy - x * y) / np.sqrt((pairs * xx - x**2) * (pairs * yy - y**2))

    def value(self) -> float:
        """The correlation over all pairs."""
        return float(self.correlation(np.ones((1, len(self.count))))[0])

    def resampled(self) -> Reals:
        """The correlation over lineages drawn with replacement [B]; every model gets the same draws."""
        return self.correlation(np.concatenate(list(drawn_counts(len(self.count)))))


def pairs_of(vectors_ND: Floats, codes_NR: Integers) -> Pairs:
    """Compute the sums over all pairs of images.

    Args:
        vectors_ND: features of unit length.
        codes_NR: integer codes of the names, kingdom first, -1 if unknown.
    """
    lineages_CR, lineage_N = np.unique(codes_NR, axis=0, return_inverse=True)
    order = np.argsort(lineage_N, kind="stable")
    vectors_ND, sizes_C = vectors_ND[order], np.bincount(lineage_N)
    starts_C = np.r_[0, np.cumsum(sizes_C)[:-1]]
    distance_CC, square_CC = np.zeros((2, len(sizes_C), len(sizes_C)))
    for start in range(0, len(vectors_ND), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(vectors_ND)))
        distance_BN = 1 - (vectors_ND[rows] @ vectors_ND.T).astype(np.float64)
        distance_BN[np.arange(len(rows)), rows] = 0
        for sums_CC, values_BN in ((distance_CC, distance_BN), (square_CC, distance_BN**2)):
            np.add.at(sums_CC, lineage_N[order][rows], np.add.reduceat(values_BN, starts_C, axis=1))
    count_CC = np.outer(sizes_C, sizes_C) - np.diag(sizes_C)
    return Pairs(count_CC.astype(np.float64), distance_CC, square_CC, heights(lineages_CR))


def heights(codes_CR: Integers) -> NDArray[np.int8]:
    """Height of the lowest common ancestor of every pair of lineages [C, C]."""
    found = np.full((len(codes_CR), len(codes_CR)), len(RANKS), np.int8)
    for place in range(len(RANKS)):
        names = codes_CR[:, place]
        found[(names[:, None] == names) & (names >= 0)] = len(RANKS) - 1 - place
    return found
