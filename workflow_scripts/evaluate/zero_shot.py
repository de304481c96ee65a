"""Zero-shot classification: each image takes the class whose prompts lie nearest (Radford et al. 2021, section 3.1).

Shapes: N images, C classes, D embedding dimensions.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.common.geometry import Floats

TOPS = (1, 3, 5)

# Similarities held at once: 64 MiB of float32.
BLOCK_VALUES = 2**24


@dataclass(frozen=True)
class Nearest:
    """What zero-shot classification says of each image.

    Attributes:
        predicted: the class with the highest similarity [N].
        score: that similarity, a cosine [N].
        confidence: the probability of that class [N], by softmax over the classes at the model's own temperature.
        rank: how many classes come before the true one [N]; 0 is right.
    """

    predicted: NDArray[np.int64]
    score: Floats
    confidence: Floats
    rank: NDArray[np.int64]

    def right(self, classes: int) -> dict[str, NDArray[np.bool_]]:
        """Which images are right [N], by top-1, top-3 and top-5; with fewer classes than that, by top-`classes`."""
        return {f"top{k}": self.rank < min(classes, k) for k in TOPS}


def classify(images_ND: Floats, truth_N: NDArray[np.int64], weights_CD: Floats, scale: float) -> Nearest:
    """The nearest class of each image, among normalised images and normalised class weights.

    Of two classes equally near the first in order comes first.

    Args:
        images_ND: images.
        truth_N: their classes.
        weights_CD: the classes.
        scale: what the model multiplies similarities with before the softmax.
    """
    images, classes = len(images_ND), len(weights_CD)
    predicted, rank = np.empty(images, np.int64), np.empty(images, np.int64)
    score, confidence = np.empty(images, np.float32), np.empty(images, np.float32)
    rows = max(1, BLOCK_VALUES // classes)
    for start in range(0, images, rows):
        block = slice(start, start + rows)
        similarity = images_ND[block] @ weights_CD.T
        true = truth_N[block, None]
        of_true = np.take_along_axis(similarity, true, axis=1)
        before = (similarity > of_true) | ((similarity == of_true) & (np.arange(classes) < true))
        rank[block] = before.sum(axis=1)
        predicted[block] = similarity.argmax(axis=1)
        score[block] = similarity.max(axis=1)
        confidence[block] = 1 / np.exp(scale * (similarity - score[block, None])).sum(axis=1)
    return Nearest(predicted, score, confidence, rank)
