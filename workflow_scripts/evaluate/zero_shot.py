"""Zero-shot classification: predict the class with the most similar prompts (Radford et al. 2021, section 3.1).

Shapes: N images, C classes, D embedding dimensions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.common.clip import Clip
from workflow_scripts.common.geometry import Floats
from workflow_scripts.common.prompts import Template, class_weights, text_features
from workflow_scripts.common.protocols import CORRECTED, Protocol
from workflow_scripts.common.resampling import Measure, share
from workflow_scripts.evaluate.classes import Classes
from workflow_scripts.evaluate.measures import ByProtocol, by_protocol, calibration_error, corrected

if TYPE_CHECKING:
    import polars as pl

TOPS = (1, 3, 5)

# Similarities in memory at once: 64 MiB of float32.
BLOCK_VALUES = 2**24
# Further decimals of a prediction's score depend on rounding, and so on the number of threads.
SCORE_DECIMALS = 5
CONFIDENCE_DECIMALS = 4


@dataclass(frozen=True)
class Nearest:
    """Zero-shot predictions of images.

    Attributes:
        classes: number of classes.
        predicted: the class with the highest similarity [N].
        score: its cosine similarity [N].
        confidence: its probability [N], by a softmax over all classes at the model's temperature.
        rank: how many classes rank above the true class [N]; 0 is correct.
    """

    classes: int
    predicted: NDArray[np.int64]
    score: Floats
    confidence: Floats
    rank: NDArray[np.int64]

    def right(self) -> dict[str, NDArray[np.bool_]]:
        """Which images are correct [N] by top-1, top-3 and top-5; k is at most the number of classes."""
        return {f"top{k}": self.rank < min(self.classes, k) for k in TOPS}


def classify(images_ND: Floats, truth_N: NDArray[np.int64], weights_CD: Floats, scale: float) -> Nearest:
    """Find the nearest class of each image; ties go to the class with the lower index.

    Args:
        images_ND: normalised image features.
        truth_N: true classes.
        weights_CD: normalised class weights.
        scale: the model's logit scale.
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
    return Nearest(classes, predicted, score, confidence, rank)


def zero_shot(
    clip: Clip, given: Mapping[Protocol, tuple[Floats, Classes]], templates: Sequence[Template]
) -> dict[Protocol, Nearest]:
    """Classify images by the prompts of their classes, for each protocol.

    Args:
        clip: the model.
        given: normalised image features and classes of each protocol.
        templates: functions that turn a class name into a prompt.
    """

    @cache
    def weights_CD(names: tuple[str, ...]) -> Floats:
        return class_weights(names, templates, partial(text_features, clip))

    def nearest(vectors_ND: Floats, classes: Classes) -> Nearest:
        return classify(vectors_ND, classes.of_image, weights_CD(classes.names), clip.model.logit_scale.exp().item())

    return by_protocol(given, nearest)


def zero_shot_measures(nearest: Mapping[Protocol, Nearest]) -> dict[str, ByProtocol]:
    """`zero_shot/top1`, `top3`, `top5` and `zero_shot/ece` (calibration error; corrected protocol only)."""

    def tops(of: Nearest) -> dict[str, Measure]:
        return {top: share(right_N) for top, right_N in of.right().items()}

    found = by_protocol({protocol: (of,) for protocol, of in nearest.items()}, tops)
    ece = calibration_error(nearest[CORRECTED].confidence, nearest[CORRECTED].rank == 0)
    return {
        f"zero_shot/{top}": {protocol: measures[top] for protocol, measures in found.items()}
        for top in found[CORRECTED]
    } | {"zero_shot/ece": corrected(ece)}


def predictions(table: "pl.DataFrame", classes: Classes, nearest: Nearest) -> "pl.DataFrame":
    """The predictions table, one row per image; a predicted class is shown by the label of its first image."""
    import polars as pl

    shown = table["class"][classes.first_image]
    return table.select("position", "image", "class").with_columns(
        predicted=shown[nearest.predicted],
        # Python's rounding: that of NumPy and polars differs in the last bit.
        score=pl.Series([round(float(value), SCORE_DECIMALS) for value in nearest.score], dtype=pl.Float64),
        correct=pl.Series(nearest.rank == 0),
        confidence=pl.Series(
            [round(float(value), CONFIDENCE_DECIMALS) for value in nearest.confidence], dtype=pl.Float64
        ),
    )
