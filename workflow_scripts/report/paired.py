"""Paired differences of two runs' top-1 predictions on the same images."""

from dataclasses import dataclass
from pathlib import Path

from workflow_scripts.common.errors import InputError
from workflow_scripts.common.resampling import Difference, differences, resample, share
from workflow_scripts.common.tables import read_rows
from workflow_scripts.contracts import PREDICTIONS

TOP1 = "top1"


@dataclass(frozen=True)
class Paired:
    """The second model's share of right answers less the first one's.

    Attributes:
        top1: the difference, with its interval and p.
        won: images that only the second has right.
        lost: images that only the first has right.
    """

    top1: Difference
    won: int
    lost: int


def paired(first: Path, second: Path) -> Paired:
    """Compare two models' predictions.

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
    ours, theirs = {TOP1: share(right_other)}, {TOP1: share(right_one)}
    found = differences(ours, theirs, resample(ours), resample(theirs))[TOP1]
    return Paired(found, int((~right_one & right_other).sum()), int((right_one & ~right_other).sum()))
