"""Scores as sums over images, and what a protocol says of a model.

Shapes: N images, M terms an image, B resamples, L labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.common.resampling import Integers, Measure, Reals, Truths, ratio

CALIBRATION_BINS = 15
CONFIDENCE_UNIT = 1_000_000
# Decimals of a calibration error: what lies beyond is rounding, which depends on the number of threads.
CALIBRATION_DECIMALS = 4


@dataclass(frozen=True)
class Outcome:
    """What a protocol says of one model.

    Attributes:
        measures: scores by metric.
        images: how many images the main metric is taken over.
        classes: how many classes (or labels) there are.
        chance: what guessing gives, where that is one number.
    """

    measures: dict[str, Measure]
    images: int
    classes: int
    chance: float | None = None

    @property
    def metrics(self) -> dict[str, float]:
        """Every score as a fraction, with `_std` where there is a spread, and `chance`."""
        values = {name: measure.value for name, measure in self.measures.items()}
        spreads = {f"{name}_std": one.spread for name, one in self.measures.items() if one.spread is not None}
        return values | spreads | ({} if self.chance is None else {"chance": self.chance})


def macro_f1(truth_NL: Truths, predicted_NL: Truths) -> Measure:
    """F1 of each label, averaged over the labels; a label that is neither true nor predicted anywhere counts as 0."""
    hits, wrong = truth_NL & predicted_NL, truth_NL ^ predicted_NL
    return Measure(np.concatenate([hits, wrong], axis=1).astype(np.int64), _mean_f1)


def _mean_f1(sums_BM: Reals) -> Reals:
    hits_BL, wrong_BL = np.split(sums_BM, 2, axis=1)
    f1_BL = 2 * hits_BL / np.maximum(2 * hits_BL + wrong_BL, 1)
    return np.asarray(f1_BL.mean(axis=1))


def calibration_error(confidence_N: NDArray[np.floating], correct_N: Truths) -> Measure:
    """Expected calibration error (Guo et al. 2017): how far confidence and accuracy lie apart, by equal bins.

    Args:
        confidence_N: the probability that the model gives its prediction.
        correct_N: whether the prediction is right.
    """
    said_N = np.rint(confidence_N * CONFIDENCE_UNIT).astype(np.int64)
    bin_N = np.minimum(said_N * CALIBRATION_BINS // CONFIDENCE_UNIT, CALIBRATION_BINS - 1)
    terms = np.zeros((len(said_N), CALIBRATION_BINS + 1), np.int64)
    terms[np.arange(len(said_N)), bin_N] = correct_N * CONFIDENCE_UNIT - said_N
    terms[:, -1] = CONFIDENCE_UNIT
    return Measure(terms, _mean_gap)


def _mean_gap(sums_BM: Reals) -> Reals:
    gaps_B = np.abs(sums_BM[:, :-1]).sum(axis=1)
    return np.round(ratio(np.stack([gaps_B, sums_BM[:, -1]], axis=1)), CALIBRATION_DECIMALS)


def among(measure: Measure, rows: Integers, images: int) -> Measure:
    """The measure of some of `images` images, as one of all; the others add nothing."""
    terms = np.zeros((images, measure.terms.shape[1]), np.int64)
    terms[rows] = measure.terms
    return Measure(terms, measure.statistic, measure.spread)


def mean_of(measures: Sequence[Measure]) -> Measure:
    """The mean of several scores over the same images."""
    ends = np.cumsum([measure.terms.shape[1] for measure in measures])

    def statistic(sums_BM: Reals) -> Reals:
        parts = np.split(sums_BM, ends[:-1], axis=1)
        return np.asarray(
            np.mean([measure.statistic(part) for measure, part in zip(measures, parts, strict=True)], axis=0)
        )

    return Measure(np.concatenate([measure.terms for measure in measures], axis=1), statistic)
