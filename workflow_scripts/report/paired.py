"""How two runs' first guesses differ on the same images."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

from workflow_scripts.common.errors import InputError
from workflow_scripts.common.tables import read_rows
from workflow_scripts.contracts import PREDICTIONS

DRAWS = 2000
SEED = 0


@dataclass(frozen=True)
class Paired:
    """The second model's share of right answers less the first one's.

    Attributes:
        difference: over all images.
        low, high: the ends of its 95 % interval, by bootstrap over images.
        p: of McNemar's exact test, two-sided.
        won, lost: images that only the second, or only the first, has right.
    """

    difference: float
    low: float
    high: float
    p: float
    won: int
    lost: int


def paired(first: Path, second: Path) -> Paired:
    """Hold two models' predictions against each other.

    Args:
        first: a table of contract PREDICTIONS.
        second: another, of the same images.

    Raises:
        InputError: a table is missing or broken, or they are of different images.
    """
    one, other = read_rows(first, PREDICTIONS), read_rows(second, PREDICTIONS)
    if one["image"] != other["image"]:
        raise InputError(f"{second}: of other images than {first}; evaluate both again")
    right_one, right_other = one["correct"].to_numpy(), other["correct"].to_numpy()
    images = len(right_one)
    won, lost = int((~right_one & right_other).sum()), int((right_one & ~right_other).sum())
    # An image adds +1, 0 or -1: drawing images with replacement is drawing how many add which.
    drawn = np.random.default_rng(SEED).multinomial(
        images, [won / images, lost / images, 1 - (won + lost) / images], DRAWS
    )
    low, high = np.percentile((drawn[:, 0] - drawn[:, 1]) / images, (2.5, 97.5))
    p = binomtest(won, won + lost).pvalue if won + lost else 1.0
    return Paired((won - lost) / images, float(low), float(high), float(p), won, lost)
