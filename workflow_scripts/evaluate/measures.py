"""Scores as sums over images, and what a protocol says of a model.

Shapes: N images, M terms an image, B resamples, L labels.
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
"""A metric's score by each protocol that has it; protocols that agree share one measure."""
Scored = TypeVar("Scored")

CALIBRATION_BINS = 15
CONFIDENCE_UNIT = 1_000_000
# Decimals of a calibration error: what lies beyond is rounding, which depends on the number of threads.
CALIBRATION_DECIMALS = 4


@dataclass(frozen=True)
class Outcome:
    """What a protocol says of one model.

    Attributes:
        by_metric: scores by metric and protocol.
        images: how many images the main metric is taken over.
        classes: how many classes (or labels) there are.
        chance: what guessing gives, where that is one number.
        left_out: why a score that was asked for is not there, by metric.
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
        """Scores by the names that they have in score files, one for protocols that agree."""
        return {name: one for name, (one, _) in self._named.items()}

    @property
    def protocols(self) -> dict[str, list[Protocol]]:
        """By those names, which protocols a score follows."""
        return {name: followed for name, (_, followed) in self._named.items()}

    @property
    def metrics(self) -> dict[str, float]:
        """Every score as a fraction, with `_std` where there is a spread, and `chance`."""
        values = {name: measure.value for name, measure in self.measures.items()}
        spreads = {f"{name}_std": one.spread for name, one in self.measures.items() if one.spread is not None}
        return values | spreads | ({} if self.chance is None else {"chance": self.chance})


def everywhere(measure: Measure) -> dict[Protocol, Measure]:
    """A score that all protocols agree on."""
    return dict.fromkeys(PROTOCOLS, measure)


def corrected(measure: Measure) -> ByProtocol:
    """A score that the published code does not have."""
    return {CORRECTED: measure}


def by_protocol(given: Mapping[Protocol, tuple[Any, ...]], score: Callable[..., Scored]) -> dict[Protocol, Scored]:
    """What `score` says of each protocol's arguments; protocols with the same arguments share one call.

    Numbers and strings are the same by value, arrays and other objects by identity.
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
    """The mean over seeds of the share of images that are right, with its deviation where there are several seeds.

    Args:
        correct_SN: whether each image is right, by seed.
        among_N: the images that count; all when nothing else is said.
    """
    correct_SN = correct_SN.astype(np.int64)
    among = np.ones(correct_SN.shape[1], np.bool_) if among_N is None else among_N
    terms = np.stack([correct_SN.sum(axis=0) * among, among * np.int64(len(correct_SN))], axis=1)
    spread = float(np.std(correct_SN[:, among].mean(axis=1))) if len(correct_SN) > 1 and among.any() else None
    return Measure(terms, ratio, spread)


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


def mean_of(measures: Sequence[Measure], spread: float | None = None) -> Measure:
    """The mean of several scores over the same images."""
    ends = np.cumsum([measure.terms.shape[1] for measure in measures])

    def statistic(sums_BM: Reals) -> Reals:
        parts = np.split(sums_BM, ends[:-1], axis=1)
        return np.asarray(
            np.mean([measure.statistic(part) for measure, part in zip(measures, parts, strict=True)], axis=0)
        )

    return Measure(np.concatenate([measure.terms for measure in measures], axis=1), statistic, spread)
