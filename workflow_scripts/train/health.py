"""Limits at which a training stops: skipped steps (non-finite loss) and unreadable samples.

The counts are equal on all ranks, so all ranks stop together.
"""

from pathlib import Path

from workflow_scripts.common.config.train import TrainSettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.train.train_state import TrainState

MAX_NAMED = 3
# After this many non-finite losses in a row, a training does not recover.
MAX_SKIPPED_IN_A_ROW = 5
# Below this count, the share of unreadable samples is not checked.
MIN_BROKEN = 10


def check_broken(state: TrainState, settings: TrainSettings, pairs_per_step: int) -> None:
    """Check the share of unreadable samples.

    Raises:
        InputError: it exceeds `train.max_broken_share`.
    """
    seen = state.steps * pairs_per_step
    if state.broken >= MIN_BROKEN and state.broken > settings.max_broken_share * seen:
        raise InputError(
            f"{state.broken} of {seen} samples are unreadable, more than train.max_broken_share allows; they are "
            "listed in broken-*.jsonl in the work folder"
        )


def check_skipped(state: TrainState, settings: TrainSettings, uuids: list[str], names: Path) -> None:
    """Check the number of skipped steps, in total and in a row.

    Args:
        state: progress of the training.
        settings: recipe with `max_skipped`.
        uuids: images of the last skipped batch.
        names: file that lists the images of every skipped batch.

    Raises:
        InputError: there are too many.
    """
    if state.skipped_in_a_row > MAX_SKIPPED_IN_A_ROW:
        skipped = f"{state.skipped_in_a_row} steps in a row (the last is step {state.steps})"
    elif state.skipped > settings.max_skipped:
        skipped = f"{state.skipped} of {state.steps} steps"
    else:
        return
    raise InputError(
        f"{skipped} skipped: loss or gradient not finite; check images {', '.join(uuids[:MAX_NAMED])} ... (all are in "
        f"{names}), lower train.lr, raise train.warmup_steps or set train.clip_norm"
    )
