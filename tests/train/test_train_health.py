"""A training stops when too many samples are unreadable or too many steps are skipped."""

from pathlib import Path

import pytest

from workflow_scripts.common.config.train import TrainSettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.train.health import MAX_SKIPPED_IN_A_ROW, check_broken, check_skipped
from workflow_scripts.train.train_state import TrainState

SETTINGS = TrainSettings(epochs=1, global_batch=8, max_broken_share=0.1, max_skipped=7)


def done(**counts: int) -> TrainState:
    found = TrainState()
    for name, count in counts.items():
        setattr(found, name, count)
    return found


def test_more_broken_samples_than_the_share_allows_stop_the_run() -> None:
    check_broken(done(steps=25, broken=20), SETTINGS, pairs_per_step=8)
    with pytest.raises(InputError, match=r"21 of 200 samples .*train\.max_broken_share"):
        check_broken(done(steps=25, broken=21), SETTINGS, pairs_per_step=8)
    with pytest.raises(InputError, match="20 of 200"):
        check_broken(
            done(steps=25, broken=20), SETTINGS.model_copy(update={"max_broken_share": 0.05}), pairs_per_step=8
        )


def test_a_few_broken_samples_at_the_start_stop_nothing() -> None:
    check_broken(done(steps=1, broken=8), SETTINGS, pairs_per_step=8)


def test_more_skipped_steps_than_allowed_stop_the_run_and_name_images(tmp_path: Path) -> None:
    names = tmp_path / "skipped.jsonl"
    check_skipped(done(steps=90, skipped=7, skipped_in_a_row=1), SETTINGS, ["a"], names)
    with pytest.raises(InputError, match=r"8 of 90 steps .* images a, b, c \.\.\. .*skipped\.jsonl"):
        check_skipped(done(steps=90, skipped=8, skipped_in_a_row=1), SETTINGS, ["a", "b", "c", "d"], names)


def test_steps_skipped_one_after_another_stop_the_run_earlier(tmp_path: Path) -> None:
    in_a_row = MAX_SKIPPED_IN_A_ROW
    check_skipped(done(steps=9, skipped=in_a_row, skipped_in_a_row=in_a_row), SETTINGS, ["a"], tmp_path)
    with pytest.raises(InputError, match=f"{in_a_row + 1} steps in a row"):
        check_skipped(done(steps=9, skipped=in_a_row + 1, skipped_in_a_row=in_a_row + 1), SETTINGS, ["a"], tmp_path)
