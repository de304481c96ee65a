"""Progress: unmixed lines for jobs that share a terminal, a bar for a single command."""

import logging
import sys
from collections.abc import Callable

import pytest

from workflow_scripts.common import progress
from workflow_scripts.common.progress import PROGRESS, Progress

Clock = Callable[[float], None]


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Advances the clock of the progress."""
    now = [100.0]

    def later(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return later


def work(wait: Clock, seconds: float) -> None:
    with Progress("download part-0003", 4000, "images") as bar:
        wait(seconds)
        bar.update(1000, lost=20)


def test_a_job_on_a_terminal_shows_whole_lines_and_no_bar(
    wait: Clock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(PROGRESS, "lines")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    work(wait, 40)
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert "\r" not in shown
    assert "download part-0003: 1,000 of 4,000 images (25 %), 20 lost" in shown


def test_without_a_terminal_a_job_shows_fewer_lines_and_its_log_has_them(
    wait: Clock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(PROGRESS, "lines")
    with caplog.at_level(logging.INFO):
        work(wait, 40)
    assert capsys.readouterr().err == ""
    assert "1,000 of 4,000 images" in caplog.text
    work(wait, 400)
    assert capsys.readouterr().err.count("\n") == 1


def test_a_command_by_hand_has_a_bar(
    wait: Clock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(PROGRESS, raising=False)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    work(wait, 40)
    assert "download part-0003" in capsys.readouterr().err
