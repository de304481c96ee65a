"""Severity of errors: at which rank the predicted class and the true class still agree."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.common.resampling import Measure, ratio, share
from workflow_scripts.contracts import RANKS

Lineage = tuple[str, ...]


def lineage(row: Mapping[str, Any]) -> Lineage:
    """The lower-case names of an image's class at the seven ranks, kingdom to binomial; "" where unknown."""
    *higher, epithet = (" ".join(str(row.get(f"taxon_{rank}") or "").split()).lower() for rank in RANKS)
    return (*higher, f"{higher[-1]} {epithet}" if higher[-1] and epithet else "")


def top1_by_rank(
    lineages: Sequence[Lineage], true_N: NDArray[np.int64], predicted_N: NDArray[np.int64]
) -> dict[str, Measure]:
    """Top-1 at each rank as `hierarchy/RANK`: whether predicted and true class have the same name at that rank.

    Images whose class has no name at a rank are excluded there; a rank without any named image is left out.

    Args:
        lineages: the lineage of each class [C].
        true_N: true classes.
        predicted_N: predicted classes.
    """
    measures = {}
    for place, rank in enumerate(RANKS):
        names = np.array([one[place] for one in lineages])
        known_N = (names != "")[true_N]
        if known_N.any():
            measures[f"hierarchy/{rank}"] = share((names[true_N] == names[predicted_N]) & known_N, known_N)
    return measures


def height_on_errors(lineages: Sequence[Lineage], true_N: NDArray[np.int64], predicted_N: NDArray[np.int64]) -> Measure:
    """Mean height of the lowest common ancestor over errors: 1 for the same genus, 7 if no rank is shared."""
    wrong_N = true_N != predicted_N
    pairs = {(int(true), int(predicted)) for true, predicted in zip(true_N[wrong_N], predicted_N[wrong_N], strict=True)}
    height_of = {pair: _height(lineages[pair[0]], lineages[pair[1]]) for pair in pairs}
    heights = [
        height_of[int(true), int(predicted)] if wrong else 0
        for true, predicted, wrong in zip(true_N, predicted_N, wrong_N, strict=True)
    ]
    return Measure(np.stack([np.array(heights, np.int64), wrong_N.astype(np.int64)], axis=1), ratio)


def _height(one: Lineage, other: Lineage) -> int:
    for height, (name, its) in enumerate(zip(reversed(one), reversed(other), strict=True)):
        if name and name == its:
            return height
    return len(RANKS)
