"""Confidence intervals of scores and of differences between models.

Shapes: N images, M terms per image, B draws.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Reals = NDArray[np.float64]
Truths = NDArray[np.bool_]
Statistic = Callable[[Reals], Reals]

DRAWS = 1000
# Draws whose weights are in memory at once: 24 MiB at 50,000 images.
BLOCK = 64
SEED = 0
PERCENTILES = (2.5, 97.5)
# Standard errors from an estimate to each end of its 95 % interval.
NORMAL_95 = 1.959964


@dataclass(frozen=True)
class Measure:
    """A score, as a function of sums over images.

    Attributes:
        terms: contribution of each image to the sums [N, M]; integers, so that sums are exact in any order.
        statistic: sums [B, M] -> scores [B]; NaN if undefined.
        spread: population standard deviation over folds or seeds, if the protocol has them.
    """

    terms: Integers
    statistic: Statistic
    spread: float | None = None

    @property
    def images(self) -> int | None:
        """Number of images that an accuracy is a share of; None for any other score."""
        if self.statistic is not ratio or (self.terms[:, 0] > self.terms[:, 1]).any():
            return None
        return int((self.terms[:, 1] > 0).sum())

    @property
    def value(self) -> float:
        """The score over all images."""
        return float(self.statistic(self.terms.sum(axis=0, dtype=np.int64)[None].astype(np.float64))[0])


@dataclass(frozen=True)
class Difference:
    """One model's score less another's.

    Attributes:
        difference: difference over all images.
        low: lower end of its 95 % interval.
        high: upper end of its 95 % interval.
        p: p-value of the permutation test, which swaps the models' answers to each image at random.
    """

    difference: float
    low: float
    high: float
    p: float


def share(correct_N: NDArray[np.integer] | Truths, tried_N: NDArray[np.integer] | Truths | None = None) -> Measure:
    """Share of correct answers among all trials; by default, each image is one trial."""
    tried = np.ones(len(correct_N), np.int64) if tried_N is None else tried_N.astype(np.int64)
    return Measure(np.stack([correct_N.astype(np.int64), tried], axis=1), ratio)


def ratio(sums_BM: Reals) -> Reals:
    """The first sum divided by the second."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return sums_BM[:, 0] / sums_BM[:, 1]


def drawn_counts(number: int) -> Iterator[Reals]:
    """Bootstrap counts: how often each item is drawn, with replacement, in each draw [B, number]; in blocks.

    The draws are the same for every model.
    """
    generator = np.random.default_rng(SEED)
    for start in range(0, DRAWS, BLOCK):
        drawn = range(min(BLOCK, DRAWS - start))
        counts = [np.bincount(generator.integers(0, number, number), minlength=number) for _ in drawn]
        yield np.stack(counts).astype(np.float64)


def resample(measures: Mapping[str, Measure]) -> dict[str, Reals]:
    """Bootstrap each score [B] over images drawn with replacement (Efron 1979); all models have the same draws."""
    terms_NM, edges = _terms(measures)
    return _scores(measures, np.concatenate([counts_BN @ terms_NM for counts_BN in drawn_counts(len(terms_NM))]), edges)


def interval(values_B: Reals) -> tuple[float, float] | None:
    """The 95 % interval of resampled scores; None if the score is undefined in all draws."""
    known = values_B[np.isfinite(values_B)]
    if not len(known):
        return None
    low, high = np.percentile(known, PERCENTILES)
    return float(low), float(high)


def interval_of(measure: Measure, values_B: Reals) -> tuple[float, float] | None:
    """A score's 95 % interval: Wilson's for a share of images with one trial each, else the bootstrap.

    For a share of 0 or 1 the bootstrap interval has width 0, however few images there are; Wilson's has not.

    Args:
        measure: the score.
        values_B: the score's result of `resample`.
    """
    images = measure.images
    if images and (measure.terms[:, 1].max() == 1 or measure.value in (0, 1)):
        return wilson(measure.value, images)
    return interval(values_B)


def wilson(share: float, number: int) -> tuple[float, float]:
    """The 95 % interval of a share of `number` independent trials (Wilson 1927)."""
    squared = NORMAL_95**2 / number
    centre = (share + squared / 2) / (1 + squared)
    reach = NORMAL_95 * np.sqrt(share * (1 - share) / number + squared / (4 * number)) / (1 + squared)
    # Rounding must not exclude the share itself.
    return min(share, max(0.0, float(centre - reach))), max(share, min(1.0, float(centre + reach)))


def differences(
    own: Mapping[str, Measure], other: Mapping[str, Measure], own_drawn: Mapping[str, Reals], drawn: Mapping[str, Reals]
) -> dict[str, Difference]:
    """Differences of the scores that both models have.

    The interval is the bootstrap over the same images; p is of a two-sided paired permutation test.

    Args:
        own: measures of one model.
        other: measures of the other model, over the same images.
        own_drawn: result of `resample` for the one model.
        drawn: result of `resample` for the other model.
    """
    shared = [name for name in own if name in other]
    one, two = ({name: measures[name] for name in shared} for measures in (own, other))
    (one_NM, edges), (two_NM, _) = _terms(one), _terms(two)
    generator = np.random.default_rng(SEED)
    swapped = []
    for start in range(0, DRAWS, BLOCK):
        coins_BN = generator.integers(0, 2, (min(BLOCK, DRAWS - start), len(one_NM)), dtype=np.int8)
        swapped.append(coins_BN.astype(np.float64) @ (two_NM - one_NM))
    moved_BM = np.concatenate(swapped)
    ones = _scores(one, one_NM.sum(axis=0) + moved_BM, edges)
    twos = _scores(two, two_NM.sum(axis=0) - moved_BM, edges)
    found = {}
    for name in shared:
        observed = one[name].value - two[name].value
        ends = interval(own_drawn[name] - drawn[name])
        if ends is not None:
            # Rounding must not decide whether a permuted difference is as large as the observed one.
            as_large = int((np.abs(ones[name] - twos[name]) >= abs(observed) - 1e-12).sum())
            found[name] = Difference(observed, *ends, p=(1 + as_large) / (1 + DRAWS))
    return found


def resampled_difference(difference: float, apart_B: Reals) -> Difference:
    """The difference of a score that is not a sum over images: p is by bootstrap too.

    Args:
        difference: difference over all images.
        apart_B: difference over resampled images.
    """
    beyond = min(int((apart_B <= 0).sum()), int((apart_B >= 0).sum()))
    low, high = interval(apart_B) or (float("nan"), float("nan"))
    return Difference(difference, low, high, p=min(1.0, 2 * (1 + beyond) / (1 + DRAWS)))


def _terms(measures: Mapping[str, Measure]) -> tuple[Reals, list[int]]:
    """The terms of all measures side by side [N, sum of M], and the first column of each but the first measure."""
    parts = [measure.terms for measure in measures.values()]
    edges = np.cumsum([part.shape[1] for part in parts])[:-1].tolist()
    return np.concatenate(parts, axis=1).astype(np.float64), edges


def _scores(measures: Mapping[str, Measure], sums_BM: Reals, edges: list[int]) -> dict[str, Reals]:
    parts = np.split(sums_BM, edges, axis=1)
    return {name: measure.statistic(part) for (name, measure), part in zip(measures.items(), parts, strict=True)}
