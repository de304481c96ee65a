"""A step has its recorded version while its code is unchanged, else a version of its own."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from workflow_scripts.common import step_versions
from workflow_scripts.common.code_digest import ROOT, code_digest
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.step_versions import (
    LOCK,
    Recorded,
    read_lock,
    step_version,
    steps_of_rules,
    unrecorded,
    write_lock,
)

STEP = "curate.attribute"
CODE = code_digest(f"workflow_scripts.{STEP}")
RULES = sorted((ROOT / "rules").glob("*.smk"))


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A lock file for the test."""
    path = tmp_path / "versions.lock"
    monkeypatch.setattr(step_versions, "LOCK", path)
    step_version.cache_clear()
    yield path
    step_version.cache_clear()


def test_recorded_code_has_its_number(lock: Path) -> None:
    write_lock({STEP: Recorded(3, CODE)}, lock)
    assert step_version(STEP) == "3"
    assert unrecorded([STEP]) == []


def test_code_recorded_again_under_its_version_is_the_same_version(lock: Path) -> None:
    write_lock({STEP: Recorded(3, "0" * 16)}, lock)
    edited = step_version(STEP)
    write_lock({STEP: Recorded(3, CODE)}, lock)
    assert (edited, step_version(STEP)) == (f"3-{CODE}", "3")


def test_code_that_is_not_recorded_has_a_version_of_its_own(lock: Path) -> None:
    write_lock({STEP: Recorded(3, "0" * 16)}, lock)
    assert unrecorded([STEP]) == [STEP]
    write_lock({}, lock)
    assert step_version(STEP) == f"unrecorded-{CODE}"
    assert unrecorded([STEP]) == [STEP]


def test_a_lock_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    steps = {"b.two": Recorded(12, "a" * 16), "a.one": Recorded(1, "b" * 16)}
    write_lock(steps, tmp_path / "versions.lock")
    assert read_lock(tmp_path / "versions.lock") == steps


@pytest.mark.parametrize(
    "line",
    ["a.one 1", "a 1 aaaaaaaaaaaaaaaa", "a.one one aaaaaaaaaaaaaaaa", "<<<<<<< HEAD", "a.one 2 bbbbbbbbbbbbbbbb"],
)
def test_a_damaged_lock_file_is_refused_by_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "versions.lock"
    path.write_text(f"# Steps.\na.one 1 aaaaaaaaaaaaaaaa\n{line}\n")
    with pytest.raises(InputError, match=re.escape(f"{path}:3: ")):
        read_lock(path)


def test_every_step_that_rules_run_is_in_the_lock_file_and_no_other() -> None:
    assert set(read_lock(LOCK)) == steps_of_rules(RULES)


def test_every_rule_that_runs_a_step_and_makes_something_names_its_version() -> None:
    rules = [rule for file in RULES for rule in re.split(r"\n(?= *rule\b)", file.read_text())[1:]]
    making = [rule for rule in rules if "output:" in rule and "-m workflow_scripts." in rule]
    assert len(making) > 30
    # Loss checks have no output that others read, and rerun with the work that they check.
    unversioned = [name for rule in making if "version=" not in rule for name in rule.split(":", 1)[0].split()[1:]]
    assert [name for name in unversioned if not name.endswith("_loss")] == []


def test_steps_picked_by_a_setting_are_all_commands_of_their_package() -> None:
    steps = steps_of_rules(RULES)
    assert {"catalog.gbif", "catalog.treeoflife200m", "evaluate.newt.index", "evaluate.newt.score"} <= steps
    assert not {"catalog.records", "evaluate.csv.texts"} & steps, "modules that are no commands"
