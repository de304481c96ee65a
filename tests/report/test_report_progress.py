"""Progress of a run, from its files, its logs and Slurm's queue."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from workflow_scripts.common.accounts import Account, write_account
from workflow_scripts.common.config.root import read_yaml
from workflow_scripts.common.files import write_json
from workflow_scripts.common.job_costs import Attempt, file_of
from workflow_scripts.common.layout import Corpus, Run
from workflow_scripts.report.progress import progress

ROOT = Path(__file__).resolve().parents[2]
STAMP = "2026-11-30 05:03:28,455"
SQUEUE = """\
5_1|rule_download|RUNNING|None
5_2|rule_download|PENDING|Priority
6|rule_curate_wildcards_g000|PENDING|PartitionTimeLimit
7|interactive|RUNNING|None
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a recipe of six download parts, without Slurm."""
    values = read_yaml(ROOT / "config/bioclip2.yaml") | {"corpus": "c", "run": "r"}
    values["generations"] = [values["generations"][0] | {"parts": 6}]
    values["train"] |= {"epochs": 10, "allow_cpu": False}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(values))
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def status_of(capsys: pytest.CaptureFixture[str], status: int) -> dict[str, Any]:
    """The JSON object that `progress` prints, with stages by name, after checking the exit status."""
    if status:
        with pytest.raises(SystemExit) as left:
            progress(config=Path("c.yaml"), json_lines=True)
        assert left.value.code == status
    else:
        progress(config=Path("c.yaml"), json_lines=True)
    found = json.loads(capsys.readouterr().out)
    return found | {"stages": {stage["name"]: stage for stage in found["stages"]}}


def part(number: int, *lines: str) -> Path:
    """Write the log of a download job."""
    log = Path(f"logs/corpora/c/download/part-{number:04d}.log")
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("".join(f"{STAMP} {line}\n" for line in lines))
    return log


def done(number: int, started: float, ended: float) -> None:
    corpus = Corpus("results/corpora/c")
    manifest = Path(corpus.download_part(part=f"{number:04d}"))
    manifest.parent.mkdir(parents=True)
    manifest.touch()
    account = Account("download", f"part-{number:04d}", "images", 500, 400, {"timeout": 100})
    write_account(manifest.with_name("account.json"), account)
    attempt = Attempt(started, ended, True, "done", 1.0, 1.0, 0, 0.0, "n1", "a machine")
    file_of(part(number, "INFO cli: done")).write_text(json.dumps(asdict(attempt)) + "\n")


def test_a_run_that_has_not_started_has_not_failed(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = status_of(capsys, 0)
    assert found["stages"]["download"]["total"] == 6
    assert {stage["done"] for stage in found["stages"].values()} == {0}
    assert (found["slurm"], found["gpu_hours"]) == (None, 0)


def test_parts_are_done_running_failed_or_stuck_and_images_have_a_rate(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done(0, 1000, 1100)
    done(1, 1000, 1200)
    part(2, "INFO progress: 20 of 500 images")
    part(3, "ERROR workflow_scripts.common.cli: the disk is full", "INFO cli: more")
    os.utime(part(4, "INFO progress: 3 of 500 images"), (1, 1))
    found = status_of(capsys, 1)
    download = found["stages"]["download"]
    assert {key: download[key] for key in ("total", "done", "running", "images", "images_per_second")} == {
        "total": 6, "done": 2, "running": 1, "images": 1000, "images_per_second": 5.0,
    }  # fmt: skip
    # Four of six parts are left, at two parts per 200 seconds.
    assert download["seconds_left"] == 400
    (failed,), (stuck,) = download["failed"], found["stuck"]
    assert "part-0003: the disk is full" in failed and "logs/corpora/c/download/part-0003.log" in failed
    assert "part-0004" in stuck


def test_a_training_shows_its_gpu_hours_and_those_to_come(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    metrics = Path(Run("results/runs/r").train_work(), "key/metrics.jsonl")
    metrics.parent.mkdir(parents=True)
    row = {"samples": 3_600_000, "samples_per_second": 1000.0, "epoch": 2.0}
    metrics.write_text(json.dumps(row) + "\n" + '{"samples": 36000')
    values = read_yaml(run / "c.yaml")
    gpus = values["limits"]["train"]["nodes"] * values["limits"]["train"]["processes"]
    train = status_of(capsys, 0)["stages"]["train"]
    assert (train["gpu_hours"], train["gpu_hours_to_come"]) == (gpus, 4 * gpus)
    summary = {"seconds": 7200.0, "last": {"samples": 7_200_000}}
    write_json(Path(Run("results/runs/r").summary()), summary)
    train = status_of(capsys, 0)["stages"]["train"]
    assert (train["done"], train["gpu_hours"], train["gpu_hours_to_come"]) == (1, 2 * gpus, 0)


def test_jobs_in_slurms_queue_are_counted_by_rule_and_those_that_never_start_are_stuck(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    squeue = run / "bin/squeue"
    squeue.write_text(f"#!/bin/sh\nprintf '%s' '{SQUEUE}'\n")
    squeue.chmod(0o755)
    found = status_of(capsys, 1)
    assert found["slurm"]["jobs"] == {"download": {"running": 1, "pending": 1}, "curate": {"pending": 1}}
    (stuck,) = found["stuck"]
    assert all(word in stuck for word in ("6", "curate", "PartitionTimeLimit"))
    with pytest.raises(SystemExit):
        progress(config=Path("c.yaml"))
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("Slurm: ") and "download 1 pending, 1 running" in line for line in lines)
    assert lines[-1].startswith("stuck: ")
    # Other errors of `squeue` are shown, but not that Slurm is installed and not configured.
    for said, is_shown in (("Could not establish a configuration source", False), ("Unable to contact slurm", True)):
        squeue.write_text(f"#!/bin/sh\necho 'squeue: fatal: {said}' >&2\nexit 1\n")
        progress(config=Path("c.yaml"))
        assert ("Slurm: " in capsys.readouterr().out) == is_shown
