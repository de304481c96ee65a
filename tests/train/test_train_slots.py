"""The end of a time slot. Slurm's commands are stand-ins that record their arguments."""

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
    """Runs a slot as job 7; returns the finished process and its calls of Slurm's commands."""

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
            # The stand-in for `scontrol requeue` signals this process group, as Slurm signals the job.
            start_new_session=True,
        )
        return done, calls.read_text().splitlines()

    return run


def test_a_saved_training_is_requeued(slot) -> None:
    done, calls = slot(f"exit {SAVED}")
    assert done.returncode == SAVED
    assert calls[1:] == ["scontrol requeue 7"]


def test_a_crash_is_restarted_in_the_same_slot_and_bad_input_is_not(slot, tmp_path: Path) -> None:
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
    # The outcome of an earlier start is ignored.
    done, calls = slot("exit 137", restarts=2)
    assert done.returncode == 137
    assert len(calls) == 4


def test_neither_success_nor_bad_input_nor_a_crash_is_requeued(slot) -> None:
    for status in (0, BAD_INPUT, 1, 128 + signal.SIGKILL):
        done, calls = slot(f"exit {status}")
        assert done.returncode == status
        assert calls[-1].startswith("srun")


def test_a_cancelled_job_stays_cancelled(slot) -> None:
    # Slurm signals all processes of a cancelled job, and the training saves.
    done, calls = slot(f"kill -TERM $PPID; exit {SAVED}")
    assert done.returncode == SAVED
    assert len(calls) == 1


def test_a_cluster_that_refuses_to_requeue_is_reported(slot) -> None:
    done, calls = slot(f"exit {SAVED}", requeue="exit 1")
    assert done.returncode == SAVED
    assert calls[1:] == ["scontrol requeue 7"]
    assert says(done.stderr, "queue", "run Snakemake again")


def test_a_job_is_requeued_while_another_one_runs_the_same_training(slot) -> None:
    _, calls = slot("exit 0", holder="5")
    assert calls == [
        "squeue --noheader --jobs 5",
        "scontrol requeue 7",
        "scontrol update JobId=7 Dependency=afterany:5",
    ]


def test_a_requeued_job_ignores_the_lock_of_its_earlier_slot(slot) -> None:
    done, calls = slot("exit 0", holder="7")
    assert done.returncode == 0
    assert [call.split()[0] for call in calls] == ["srun"]


def test_a_job_step_has_one_task_per_node_and_this_node_as_rendezvous() -> None:
    options, training = parse_options(
        ["--nodes", "4", "--processes", "8", "--cores", "72", "--publishes", "x", "--image", "a.sif", *TRAINING]
    )
    words = srun_command(options, training, 123456)
    assert words[:4] == ["srun", "--nodes=4", "--ntasks-per-node=1", "--cpus-per-task=72"]
    assert words[5:9] == ["apptainer", "exec", "--nv", "a.sif"]
    assert words[-len(TRAINING) :] == TRAINING
    assert words[words.index("--master-port") + 1] == "13456"
    assert words[words.index("--nnodes") + 1] == "4"
