"""Scores as sums over images, and all scores of one model on one benchmark.

Shapes: N images, M terms per image, B resamples, L labels, S seeds.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.common.protocols import CORRECTED, PROTOCOLS, Protocol, metric_name
from workflow_scripts.common.resampling import Integers, Measure, Reals, Truths, ratio

ByProtocol = Mapping[Protocol, Measure]
"""A metric's score by protocol; protocols that agree share one measure."""
Scored = TypeVar("Scored")

CALIBRATION_BINS = 15
CONFIDENCE_UNIT = 1_000_000
# Further decimals of a calibration error depend on rounding, and so on the number of threads.
CALIBRATION_DECIMALS = 4


@dataclass(frozen=True)
class Outcome:
    """The scores of one model on one benchmark.

    Attributes:
        by_metric: scores by metric and protocol.
        images: number of images in the main metric.
        classes: number of classes (or labels).
        chance: expected score of random guessing, if it is a single number.
        left_out: by metric, why a requested score is missing.
    """

    by_metric: Mapping[str, ByProtocol]
    images: int
    classes: int
    chance: float | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def _named(self) -> dict[str, tuple[Measure, list[Protocol]]]:
        named: dict[str, tuple[Measure, list[Protocol]]] = {}
        for metric, measures in self.by_metric.items():
            for one in {id(measure): measure for measure in measures.values()}.values():
                followed = [protocol for protocol in PROTOCOLS if measures.get(protocol) is one]
                named[metric_name(metric, followed)] = one, followed
        return named

    @property
    def measures(self) -> dict[str, Measure]:
        """Scores by their names in score files, one for protocols that agree."""
        return {name: one for name, (one, _) in self._named.items()}

    @property
    def protocols(self) -> dict[str, list[Protocol]]:
        """The protocols that each score follows, by the same names."""
        return {name: followed for name, (_, followed) in self._named.items()}

    @property
    def metrics(self) -> dict[str, float]:
        """All scores as fractions, with `NAME_std` for scores that have a spread, and `chance`."""
        values = {name: measure.value for name, measure in self.measures.items()}
        spreads = {f"{name}_std": one.spread for name, one in self.measures.items() if one.spread is not None}
        return values | spreads | ({} if self.chance is None else {"chance": self.chance})


def corrected(measure: Measure) -> ByProtocol:
    """A measure that only the corrected protocol has."""
    return {CORRECTED: measure}


def by_protocol(given: Mapping[Protocol, tuple[Any, ...]], score: Callable[..., Scored]) -> dict[Protocol, Scored]:
    """Call `score` with each protocol's arguments, once for protocols with the same arguments.

    Numbers and strings are compared by value, arrays and other objects by identity.
    """
    found: dict[Any, Scored] = {}
    scored: dict[Protocol, Scored] = {}
    for protocol, arguments in given.items():
        key = _key(arguments)
        if key not in found:
            found[key] = score(*arguments)
        scored[protocol] = found[key]
    return scored


def _key(one: object) -> Any:
    if isinstance(one, tuple):
        return tuple(map(_key, one))
    return one if isinstance(one, str | int | float) else id(one)


def mean_over_seeds(correct_SN: Integers | Truths, among_N: Truths | None = None) -> Measure:
    """Accuracy averaged over seeds, with its standard deviation if there are several seeds.

    Args:
        correct_SN: whether each image is classified correctly, by seed.
        among_N: the images to include. Default: all.
    """
    correct_SN = correct_SN.astype(np.int64)
    among = np.ones(correct_SN.shape[1], np.bool_) if among_N is None else among_N
    terms = np.stack([correct_SN.sum(axis=0) * among, among * np.int64(len(correct_SN))], axis=1)
    spread = float(np.std(correct_SN[:, among].mean(axis=1))) if len(correct_SN) > 1 and among.any() else None
    return Measure(terms, ratio, spread)


def macro_f1(truth_NL: Truths, predicted_NL: Truths) -> Measure:
    """F1 averaged over labels; a label that is neither true nor predicted for any image counts as 0."""
    hits, wrong = truth_NL & predicted_NL, truth_NL ^ predicted_NL
    return Measure(np.concatenate([hits, wrong], axis=1).astype(np.int64), _mean_f1)


def _mean_f1(sums_BM: Reals) -> Reals:
    hits_BL, wrong_BL = np.split(sums_BM, 2, axis=1)
    f1_BL = 2 * hits_BL / np.maximum(2 * hits_BL + wrong_BL, 1)
    return np.asarray(f1_BL.mean(axis=1))


def calibration_error(confidence_N: NDArray[np.floating], correct_N: Truths) -> Measure:
    """Expected calibration error (Guo et al. 2017): the gap between confidence and accuracy, over bins of equal width.

    Args:
        confidence_N: the model's probability for its prediction.
        correct_N: whether the prediction is correct.
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
    """Extend a measure over the images at `rows` to all `images` images; the others contribute nothing."""
    terms = np.zeros((images, measure.terms.shape[1]), np.int64)
    terms[rows] = measure.terms
    return Measure(terms, measure.statistic, measure.spread)


def mean_of(measures: Sequence[Measure], spread: float | None = None) -> Measure:
    """Mean of several measures over the same images."""
    ends = np.cumsum([measure.terms.shape[1] for measure in measures])

    def statistic(sums_BM: Reals) -> Reals:
        parts = np.split(sums_BM, ends[:-1], axis=1)
        return np.asarray(
            np.mean([measure.statistic(part) for measure, part in zip(measures, parts, strict=True)], axis=0)
        )

    return Measure(np.concatenate([measure.terms for measure in measures], axis=1), statistic, spread)
