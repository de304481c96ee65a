"""Jobs record their cost, and reruns that adopt the work do not overwrite it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from workflow_scripts.common.job_costs import Attempt, file_of, note, read_attempts, that_did_the_work, written_down
from workflow_scripts.common.work_folder import WorkFolder, do_once

ROOT = Path(__file__).resolve().parents[2]


def attempt(seconds: float, work: str = "done", finished: bool = True) -> Attempt:
    ended = {"started": 1000.0, "ended": 1000.0 + seconds, "finished": finished, "work": work}
    used = {"cpu_seconds": 1.0, "memory_mb": 10.0, "gpus": 0, "gpu_memory_mb": 0.0, "host": "a", "machine": "b"}
    return Attempt(**{**ended, **used})  # type: ignore[arg-type]


def run_once(tmp_path: Path) -> Attempt:
    def work(folder: WorkFolder) -> list[str]:
        (folder.path / "made.txt").write_text("made")
        return ["made.txt"]

    log = tmp_path / "step.log"
    with written_down(log):
        do_once(tmp_path / "work", {"settings": 1}, work, tmp_path / "out", "made.txt")
    return read_attempts(file_of(log))[-1]


def test_a_run_says_whether_it_did_its_work_or_found_it_done(tmp_path: Path) -> None:
    first, second = run_once(tmp_path), run_once(tmp_path)
    assert (first.work, second.work) == ("done", "adopted")
    assert first.finished and first.ended >= first.started and first.memory_mb > 1
    assert first.machine and first.host
    assert that_did_the_work([first, second]) == [first]


def test_a_run_that_does_part_of_the_work_did_it(tmp_path: Path) -> None:
    with written_down(tmp_path / "step.log"):
        note("adopted")
        note("done")
    assert read_attempts(file_of(tmp_path / "step.log"))[0].work == "done"


def test_a_run_that_fails_is_written_down_and_is_part_of_the_one_that_goes_on(tmp_path: Path) -> None:
    with pytest.raises(SystemExit), written_down(tmp_path / "step.log"):
        raise SystemExit(143)
    [failed] = read_attempts(file_of(tmp_path / "step.log"))
    assert not failed.finished
    older, adopted = attempt(50), attempt(1, "adopted")
    assert that_did_the_work([older, failed, attempt(9), adopted]) == [failed, attempt(9)]
    assert that_did_the_work([adopted, adopted]) == [adopted]
    assert that_did_the_work([]) == []


def test_processes_of_a_training_have_files_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "3")
    assert file_of(Path("logs/run.log")).name == "run.rank3.costs.jsonl"


def test_without_a_log_nothing_is_written_and_broken_lines_are_passed_over(tmp_path: Path) -> None:
    with written_down(None):
        pass
    with written_down(tmp_path / "nowhere/step.log"):
        pass
    assert not [*tmp_path.iterdir()]
    (tmp_path / "x.costs.jsonl").write_text(json.dumps({"started": 1}) + '\n{"started": 1, "en\n')
    assert read_attempts(tmp_path / "x.costs.jsonl") == []
    assert read_attempts(tmp_path / "y.costs.jsonl") == []


def test_the_memory_of_the_parent_process_does_not_count(tmp_path: Path) -> None:
    """Snakemake, which starts the jobs, takes gigabytes for thousands of jobs."""
    parent_memory = bytearray(300 << 20)
    code = "import sys, pathlib; from workflow_scripts.common.job_costs import written_down\n"
    code += "with written_down(pathlib.Path(sys.argv[1])): pass"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "step.log")], check=True, cwd=ROOT)
    [attempt] = read_attempts(file_of(tmp_path / "step.log"))
    assert 1 < attempt.memory_mb < len(parent_memory) / 2**20
