"""Confidence intervals of scores and of differences between models.

Shapes: N images, M terms an image, B draws.
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
# Draws whose weights are held at once: 24 MiB at 50,000 images.
BLOCK = 64
SEED = 0
PERCENTILES = (2.5, 97.5)
# Standard errors from an estimate to each end of its 95 % interval.
NORMAL_95 = 1.959964


@dataclass(frozen=True)
class Measure:
    """A score, as a function of sums over images.

    Attributes:
        terms: what each image adds to the sums [N, M]; whole numbers, so that sums are exact in any order.
        statistic: sums [B, M] -> scores [B]; NaN where it has nothing to judge by.
        spread: population standard deviation over folds or seeds, where the protocol has them.
    """

    terms: Integers
    statistic: Statistic
    spread: float | None = None

    @property
    def images(self) -> int | None:
        """Of a share of answers that are right, how many images it is a share of; of any other score None."""
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
        difference: over all images.
        low: lower end of its 95 % interval.
        high: upper end.
        p: how often a difference as large comes up when each image's answers are given to either model by a coin.
    """

    difference: float
    low: float
    high: float
    p: float


def share(correct_N: NDArray[np.integer] | Truths, tried_N: NDArray[np.integer] | Truths | None = None) -> Measure:
    """How often it was right among how often it was tried; each image is tried once when nothing else is said."""
    tried = np.ones(len(correct_N), np.int64) if tried_N is None else tried_N.astype(np.int64)
    return Measure(np.stack([correct_N.astype(np.int64), tried], axis=1), ratio)


def ratio(sums_BM: Reals) -> Reals:
    """The first sum over the second."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return sums_BM[:, 0] / sums_BM[:, 1]


def drawn_counts(number: int) -> Iterator[Reals]:
    """How often each of so many is drawn, with replacement, in each of all draws [B, number]; a block at a time.

    The draws are the same for every model.
    """
    generator = np.random.default_rng(SEED)
    for start in range(0, DRAWS, BLOCK):
        drawn = range(min(BLOCK, DRAWS - start))
        counts = [np.bincount(generator.integers(0, number, number), minlength=number) for _ in drawn]
        yield np.stack(counts).astype(np.float64)


def resample(measures: Mapping[str, Measure]) -> dict[str, Reals]:
    """Each score over images drawn with replacement [B] (Efron 1979); the same draws for every model."""
    terms_NM, edges = _terms(measures)
    return _scores(measures, np.concatenate([counts_BN @ terms_NM for counts_BN in drawn_counts(len(terms_NM))]), edges)


def interval(values_B: Reals) -> tuple[float, float] | None:
    """The 95 % interval of resampled scores; None when hardly any draw has something to judge by."""
    known = values_B[np.isfinite(values_B)]
    if not len(known):
        return None
    low, high = np.percentile(known, PERCENTILES)
    return float(low), float(high)


def interval_of(measure: Measure, values_B: Reals) -> tuple[float, float] | None:
    """A score's 95 % interval: Wilson's for a share of images that are tried once, else by bootstrap.

    The bootstrap of a share that is 0 or 1 has no width, however few images there are; Wilson's has.

    Args:
        measure: the score.
        values_B: what `resample` gave for it.
    """
    images = measure.images
    if images and (measure.terms[:, 1].max() == 1 or measure.value in (0, 1)):
        return wilson(measure.value, images)
    return interval(values_B)


def wilson(share: float, number: int) -> tuple[float, float]:
    """The 95 % interval of a share of so many independent trials (Wilson 1927)."""
    squared = NORMAL_95**2 / number
    centre = (share + squared / 2) / (1 + squared)
    reach = NORMAL_95 * np.sqrt(share * (1 - share) / number + squared / (4 * number)) / (1 + squared)
    # Rounding must not leave the share itself outside.
    return min(share, max(0.0, float(centre - reach))), max(share, min(1.0, float(centre + reach)))


def differences(
    own: Mapping[str, Measure], other: Mapping[str, Measure], own_drawn: Mapping[str, Reals], drawn: Mapping[str, Reals]
) -> dict[str, Difference]:
    """The difference of each score that both models have.

    The interval is of differences over the same drawn images; p is of a paired permutation test, two-sided.

    Args:
        own: one model's measures.
        other: the other's, over the same images.
        own_drawn: what `resample` gave for the one.
        drawn: what it gave for the other.
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
    """The difference of a score that is no sum over images: p, too, is by bootstrap.

    Args:
        difference: over all images.
        apart_B: the same over resampled ones.
    """
    beyond = min(int((apart_B <= 0).sum()), int((apart_B >= 0).sum()))
    low, high = interval(apart_B) or (float("nan"), float("nan"))
    return Difference(difference, low, high, p=min(1.0, 2 * (1 + beyond) / (1 + DRAWS)))


def _terms(measures: Mapping[str, Measure]) -> tuple[Reals, list[int]]:
    """All measures' terms side by side [N, sum of M], and where each but the first begins."""
    parts = [measure.terms for measure in measures.values()]
    edges = np.cumsum([part.shape[1] for part in parts])[:-1].tolist()
    return np.concatenate(parts, axis=1).astype(np.float64), edges


def _scores(measures: Mapping[str, Measure], sums_BM: Reals, edges: list[int]) -> dict[str, Reals]:
    parts = np.split(sums_BM, edges, axis=1)
    return {name: measure.statistic(part) for (name, measure), part in zip(measures.items(), parts, strict=True)}
