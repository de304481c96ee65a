"""A pinned stage holds what it was made with until it is lifted by name."""

from pathlib import Path

import pytest

from workflow_scripts.common.errors import InputError
from workflow_scripts.common.pins import RECORD, Pins


def pins(tmp_path: Path, settings: str, *, pinned: str = "shards", lift: str = "") -> tuple[Pins, str]:
    """The pins of one invocation, and the settings that the stage gets."""
    made = Pins({"shards": tmp_path / "shards"}, [pinned] if pinned else [], [lift] if lift else [])
    return made, made.held("shards", "settings", settings)


def test_what_a_stage_was_made_with_stays(tmp_path: Path) -> None:
    first, settings = pins(tmp_path, "old")
    assert (settings, first.behind(), first.holds("shards")) == ("old", [], False)
    first.record()
    second, settings = pins(tmp_path, "new")
    second.record()
    assert (settings, second.holds("shards")) == ("old", True)
    assert len(second.behind()) == 1
    assert second.behind()[0].startswith("shards is pinned and behind: settings changed;")
    third, settings = pins(tmp_path, "old")
    assert (settings, third.behind()) == ("old", [])


def test_a_stage_that_was_made_before_it_was_pinned_is_not_held_yet(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    late, settings = pins(tmp_path, "new")
    assert settings == "new"
    (line,) = late.behind()
    assert line.startswith("shards is pinned, and was made before that: what has changed since is made again;")
    late.record()
    assert pins(tmp_path, "newer")[0].behind()[0].startswith("shards is pinned and behind: settings changed;")


def test_a_lifted_pin_takes_the_change_and_holds_it(tmp_path: Path) -> None:
    pins(tmp_path, "old")[0].record()
    lifted, settings = pins(tmp_path, "new", lift="shards")
    assert (settings, lifted.behind(), lifted.holds("shards")) == ("new", [], False)
    lifted.record()
    later, settings = pins(tmp_path, "old")
    assert (settings, later.holds("shards")) == ("new", True)


def test_a_dry_run_writes_nothing_and_a_stage_that_is_not_pinned_holds_nothing(tmp_path: Path) -> None:
    pins(tmp_path, "old")
    assert not (tmp_path / "shards").exists()
    free, _ = pins(tmp_path, "old", pinned="")
    free.record()
    assert not (tmp_path / "shards").exists()
    assert pins(tmp_path, "new", pinned="")[1] == "new"


def test_a_value_that_is_new_in_the_rules_is_taken_and_recorded(tmp_path: Path) -> None:
    pins(tmp_path, "old")[0].record()
    second, _ = pins(tmp_path, "old")
    assert second.held("shards", "code", "abc") == "abc"
    assert second.behind() == []
    second.record()
    third, _ = pins(tmp_path, "old")
    assert third.held("shards", "code", "def") == "abc"


def test_a_spoilt_record_is_named(tmp_path: Path) -> None:
    pins(tmp_path, "old")[0].record()
    (tmp_path / "shards" / RECORD).write_text("{")
    with pytest.raises(InputError, match=RECORD):
        pins(tmp_path, "old")
