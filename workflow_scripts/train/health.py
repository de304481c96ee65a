"""Limits at which a training stops: steps skipped for a non-finite loss, and unreadable samples.

All ranks see the same numbers, so all decide alike.
"""

from pathlib import Path

from workflow_scripts.common.config.train import TrainSettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.train.train_state import TrainState

NAMED = 3
# A loss that is not finite so often in a row does not come back.
MAX_SKIPPED_IN_A_ROW = 5
# A share of few samples says nothing.
BROKEN_MATTERS_FROM = 10


def check_broken(state: TrainState, settings: TrainSettings, pairs_a_step: int) -> None:
    """Raise InputError when more samples are unreadable than the settings allow."""
    seen = state.steps * pairs_a_step
    if state.broken >= BROKEN_MATTERS_FROM and state.broken > settings.max_broken_share * seen:
        raise InputError(
            f"{state.broken} of {seen} samples are unreadable, more than train.max_broken_share; the work folder's "
            "broken-*.jsonl name them"
        )


def check_skipped(state: TrainState, settings: TrainSettings, uuids: list[str], names: Path) -> None:
    """Raise InputError when too many steps were skipped, at all or in a row.

    Args:
        state: how far the training is.
        settings: how many are allowed.
        uuids: of the batch that was skipped last.
        names: the file that names every skipped batch.
    """
    if state.skipped_in_a_row > MAX_SKIPPED_IN_A_ROW:
        trouble = f"{state.skipped_in_a_row} steps in a row, the last of them {state.steps}, were"
    elif state.skipped > settings.max_skipped:
        trouble = f"{state.skipped} of {state.steps} steps were"
    else:
        return
    raise InputError(
        f"{trouble} skipped: loss or gradient not finite; look at images {', '.join(uuids[:NAMED])} ... ({names} names "
        "all), lower train.lr, lengthen train.warmup_steps or set train.clip_norm"
    )
