"""A time slot's end: queued again when saved, and only then. Slurm's commands are stand-ins that note their words."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.messages import says
from workflow_scripts.common.files import write_json
from workflow_scripts.train.slots import parse_options, srun_command

ROOT = Path(__file__).resolve().parents[2]
TRAINING = ["-m", "workflow_scripts.train.run", "--start", "x", "--work"]
SAVED, BAD_INPUT = 143, 2


@pytest.fixture
def slot(tmp_path: Path) -> Callable[..., tuple[subprocess.CompletedProcess[str], list[str]]]:
    """Runs a slot as job 7; gives how it ended and which of Slurm's commands it called."""

    def run(
        srun: str, *, requeue: str = "kill -TERM 0", holder: str | None = None, restarts: int = 0
    ) -> tuple[subprocess.CompletedProcess[str], list[str]]:
        calls = tmp_path / "calls"
        commands = {"srun": srun, "scontrol": f"[ $1 = requeue ] || exit 0; {requeue}", "squeue": "echo 5 RUNNING"}
        for name, script in commands.items():
            (tmp_path / name).write_text(f'#!/bin/bash\necho {name} "$@" >> {calls}\n{script}\n')
            (tmp_path / name).chmod(0o755)
        if holder:
            write_json(tmp_path / ".summary.json.lock", {"job": holder})
        options = ["--nodes", "2", "--processes", "4", "--cores", "8", "--publishes", str(tmp_path / "summary.json")]
        options += ["--restarts", str(restarts)]
        done = subprocess.run(
            [sys.executable, "-m", "workflow_scripts.train.slots", *options, *TRAINING, str(tmp_path)],
            env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "7"},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            # What Slurm sends to the whole job when it queues it again is sent to this group.
            start_new_session=True,
        )
        return done, calls.read_text().splitlines()

    return run


def test_a_saved_training_is_queued_again(slot) -> None:
    done, calls = slot(f"exit {SAVED}")
    assert done.returncode == SAVED
    assert calls[1:] == ["scontrol requeue 7"]


def test_a_crash_is_started_again_in_the_same_slot_and_bad_input_is_not(slot, tmp_path: Path) -> None:
    crashes = f"[ $(grep -c srun {tmp_path}/calls) -gt 2 ] || exit 137"
    done, calls = slot(crashes, restarts=2)
    assert done.returncode == 0
    assert [call.split()[0] for call in calls] == ["srun"] * 3
    done, calls = slot(f"exit {BAD_INPUT}", restarts=2)
    assert done.returncode == BAD_INPUT
    assert len(calls) == 4


def test_every_start_has_a_port_of_its_own(slot) -> None:
    _, calls = slot("exit 1", restarts=2)
    ports = [call.split("--master-port ")[1].split()[0] for call in calls]
    assert len(ports) == len(set(ports)) == 3


def test_bad_input_on_one_node_is_bad_input_though_others_were_killed(slot, tmp_path: Path) -> None:
    says = f"""echo '{{"outcome": "%s"}}' > {tmp_path}/outcome.json; exit 137"""
    done, calls = slot(says % "bad input", restarts=2)
    assert done.returncode == BAD_INPUT
    assert len(calls) == 1
    # What an earlier start has left says nothing about this one.
    done, calls = slot("exit 137", restarts=2)
    assert done.returncode == 137
    assert len(calls) == 4


def test_neither_the_end_nor_bad_input_nor_a_crash_is_queued_again(slot) -> None:
    for status in (0, BAD_INPUT, 1, 128 + signal.SIGKILL):
        done, calls = slot(f"exit {status}")
        assert done.returncode == status
        assert calls[-1].startswith("srun")


def test_a_cancelled_job_stays_cancelled(slot) -> None:
    # Slurm signals all processes of the job; the training saves then, too.
    done, calls = slot(f"kill -TERM $PPID; exit {SAVED}")
    assert done.returncode == SAVED
    assert len(calls) == 1


def test_where_no_job_may_be_queued_again_it_fails_and_says_so(slot) -> None:
    done, calls = slot(f"exit {SAVED}", requeue="exit 1")
    assert done.returncode == SAVED
    assert calls[1:] == ["scontrol requeue 7"]
    assert says(done.stderr, "queue", "run Snakemake again")


def test_work_in_another_jobs_hands_is_waited_for_in_the_queue(slot) -> None:
    _, calls = slot("exit 0", holder="5")
    assert calls == [
        "squeue --noheader --jobs 5",
        "scontrol requeue 7",
        "scontrol update JobId=7 Dependency=afterany:5",
    ]


def test_what_this_job_left_behind_before_it_was_queued_again_is_its_own(slot) -> None:
    done, calls = slot("exit 0", holder="7")
    assert done.returncode == 0
    assert [call.split()[0] for call in calls] == ["srun"]


def test_a_step_is_one_task_a_node_and_all_meet_on_this_one() -> None:
    options, training = parse_options(
        ["--nodes", "4", "--processes", "8", "--cores", "72", "--publishes", "x", "--image", "a.sif", *TRAINING]
    )
    words = srun_command(options, training, 123456)
    assert words[:4] == ["srun", "--nodes=4", "--ntasks-per-node=1", "--cpus-per-task=72"]
    assert words[5:9] == ["apptainer", "exec", "--nv", "a.sif"]
    assert words[-len(TRAINING) :] == TRAINING
    assert words[words.index("--master-port") + 1] == "13456"
    assert words[words.index("--nnodes") + 1] == "4"
