"""How sure a score is, and how sure a difference of two models' scores.

Shapes: N images, M terms an image, B draws.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from workflow_scripts.evaluate.measures import Measure, Reals

DRAWS = 1000
# Draws whose weights are held at once: 24 MiB at 50,000 images.
BLOCK = 64
SEED = 0
PERCENTILES = (2.5, 97.5)


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


def resample(measures: Mapping[str, Measure]) -> dict[str, Reals]:
    """Each score over images drawn with replacement [B] (Efron 1979); the same draws for every model."""
    terms_NM, edges = _terms(measures)
    images = len(terms_NM)
    generator = np.random.default_rng(SEED)
    sums = []
    for start in range(0, DRAWS, BLOCK):
        drawn = range(min(BLOCK, DRAWS - start))
        counts_BN = np.stack([np.bincount(generator.integers(0, images, images), minlength=images) for _ in drawn])
        sums.append(counts_BN.astype(np.float64) @ terms_NM)
    return _scores(measures, np.concatenate(sums), edges)


def interval(values_B: Reals) -> tuple[float, float] | None:
    """The 95 % interval of resampled scores; None when hardly any draw has something to judge by."""
    known = values_B[np.isfinite(values_B)]
    if not len(known):
        return None
    low, high = np.percentile(known, PERCENTILES)
    return float(low), float(high)


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


def _terms(measures: Mapping[str, Measure]) -> tuple[Reals, list[int]]:
    """All measures' terms side by side [N, sum of M], and where each but the first begins."""
    parts = [measure.terms for measure in measures.values()]
    edges = np.cumsum([part.shape[1] for part in parts])[:-1].tolist()
    return np.concatenate(parts, axis=1).astype(np.float64), edges


def _scores(measures: Mapping[str, Measure], sums_BM: Reals, edges: list[int]) -> dict[str, Reals]:
    parts = np.split(sums_BM, edges, axis=1)
    return {name: measure.statistic(part) for (name, measure), part in zip(measures.items(), parts, strict=True)}
