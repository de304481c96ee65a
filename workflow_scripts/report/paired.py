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
    """Top-1 accuracy of the second model minus that of the first.

    Attributes:
        top1: the difference, with its interval and p.
        won: images that only the second model predicts correctly.
        lost: images that only the first model predicts correctly.
    """

    top1: Difference
    won: int
    lost: int


def paired(first: Path, second: Path) -> Paired:
    """Compare two models' predictions on the same images.

    Args:
        first: predictions of the first model (contract PREDICTIONS).
        second: predictions of the second model.

    Raises:
        InputError: a table is missing or broken, or the two tables have different images.
    """
    one, other = read_rows(first, PREDICTIONS), read_rows(second, PREDICTIONS)
    if one["image"] != other["image"]:
        raise InputError(f"{second}: its images differ from those of {first}; evaluate both again")
    right_one, right_other = one["correct"].to_numpy(), other["correct"].to_numpy()
    ours, theirs = {TOP1: share(right_other)}, {TOP1: share(right_one)}
    found = differences(ours, theirs, resample(ours), resample(theirs))[TOP1]
    return Paired(found, int((~right_one & right_other).sum()), int((right_one & ~right_other).sum()))
