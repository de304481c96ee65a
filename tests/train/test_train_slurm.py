"""Time slots on a real Slurm: warned, requeued or without a node, a training ends with the same weights."""

import json
import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.slurm.cluster import Cluster, Job, wait_until
from tests.train.processes import settings_for, train_together
from workflow_scripts.common.config.train import ModelSettings, TrainLimits

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

RANKS = 2
# Enough steps for all interruptions.
STEPS = 300
SETTINGS = settings_for(STEPS, val_batches=0)
LIMITS = TrainLimits(workers=0, checkpoint_steps=30, keep_epochs=False)


class Training:
    """A training by `train.slots`, in jobs of a cluster.

    Attributes:
        folder: parent of its work and output folders.
        nodes: number of nodes, for two processes in total.
        given: options of the training.
    """

    def __init__(self, folder: Path, cluster: Cluster, nodes: int, given: Sequence[object]) -> None:
        self.folder = folder
        self.cluster = cluster
        self.nodes = nodes
        processes = RANKS // nodes
        slots = ["--nodes", nodes, "--processes", processes, "--cores", processes]
        training = ["--settings", SETTINGS.to_json(), "--limits", LIMITS.to_json(), "--threads", processes]
        training += ["--work", folder / "work", "--out-dir", folder / "train", "--log", folder / "run.log"]
        words = ["-m", "workflow_scripts.train.slots", *slots, "--publishes", folder / "train/summary.json"]
        words += ["-m", "workflow_scripts.train.run", *given, *training]
        folder.mkdir()
        (folder / "job.sh").write_text(
            shlex.join(["exec", sys.executable, *map(str, words)]).join(["#!/bin/sh\n", "\n"])
        )

    def submit(self) -> str:
        """Submit it as the workflow does, and return the job number."""
        processes = RANKS // self.nodes
        options = [f"--nodes={self.nodes}", "--ntasks-per-node=1", f"--cpus-per-task={processes}", "--mem=2000"]
        options += ["--partition=gpu", f"--gres=gpu:{processes}", "--time=60", "--signal=USR1@600", "--requeue"]
        options += ["--open-mode=append", f"--output={self.folder}/job.log"]
        return self.cluster.run("sbatch", "--parsable", *options, f"{self.folder}/job.sh").strip()

    def job(self, number: str) -> Job:
        return next(job for job in self.cluster.jobs() if job.number == number)

    def steps(self) -> int:
        """Number of steps done, including repeated ones."""
        return sum(len(file.read_text().splitlines()) for file in self.folder.glob("work/*/metrics.jsonl"))

    def wait_for_steps(self, number: str, *, slots: int) -> None:
        """Wait until the job runs after `slots` requeues and has done another step."""
        before = self.steps()

        def trains() -> bool:
            running = self.job(number).state == "RUNNING" and self.cluster.started(number) == slots
            return running and self.steps() > before

        wait_until(trains, f"training in slot {slots}", 300)

    def summary(self) -> dict[str, object]:
        return json.loads((self.folder / "train/summary.json").read_text())


@pytest.fixture(scope="module")
def undisturbed(corpus, start: Path, model_settings: ModelSettings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same training, uninterrupted and without Slurm."""
    folder = tmp_path_factory.mktemp("undisturbed")
    given = {"corpora": (corpus.biology,), "replay": corpus.replay, "model": model_settings, "start": start}
    train_together(
        RANKS, settings=SETTINGS, limits=LIMITS, work=folder / "work", out_dir=folder / "train", threads=RANKS, **given
    )
    return folder


@pytest.fixture
def make_training(cluster: Cluster, corpus, start: Path, model_settings: ModelSettings, tmp_path: Path):
    given = ["--start", start, "--model", model_settings.to_json(), "--replay", corpus.replay]
    given += ["--corpora", corpus.biology.to_json()]
    return lambda nodes: Training(tmp_path / "run", cluster, nodes, given)


@pytest.mark.parametrize("nodes", [1, 2])
def test_a_training_is_warned_saved_and_continued_by_the_same_job(
    nodes: int, cluster: Cluster, make_training: Callable[[int], Training], undisturbed: Path
) -> None:
    training = make_training(nodes)
    number = training.submit()
    wait_until(lambda: training.steps() > 5, "training", 300)
    assert (training.job(number).partition, training.job(number).nodes) == ("gpu", nodes)

    # The warning before the end of a time slot: the training saves, and its job is requeued and resumes.
    cluster.run("scancel", "--signal=USR1", number)
    wait_until(lambda: cluster.started(number) == 1, "the next slot", 120)
    training.wait_for_steps(number, slots=1)
    slots = 1

    if nodes > 1:
        # A lost node: Slurm requeues the job, and the training resumes from its checkpoint.
        cluster.run("scontrol", "update", "NodeName=n2", "State=DOWN", "Reason=test")
        wait_until(lambda: cluster.started(number) == 2, "the job without its node", 120)

        def back() -> bool:
            """Resume the node; whether it is up. The command fails if Slurm has resumed it already."""
            with suppress(AssertionError):
                cluster.run("scontrol", "update", "NodeName=n2", "State=RESUME")
            return not cluster.run("sinfo", "--noheader", "--nodes=n2", "--format=%t").startswith(("down", "drain"))

        wait_until(back, "the node", 60)
        training.wait_for_steps(number, slots=2)
        slots = 2

    jobs = [number]
    if nodes == 1:
        # Another job for the same training waits in the queue for the end of this one, and adopts its work.
        cluster.run("scontrol", "suspend", number)
        other = training.submit()
        wait_until(lambda: f"Dependency=afterany:{number}" in cluster.shown(other), "its waiting", 300)
        assert training.job(number).state == "SUSPENDED"
        cluster.run("scontrol", "resume", number)
        jobs.append(other)
    for one in jobs:
        wait_until(lambda one=one: training.job(one).state == "COMPLETED", "its end", 600)
    assert cluster.started(number) == slots

    weights, expected = (load_file(folder / "train/model.safetensors") for folder in (training.folder, undisturbed))
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    # Steps that were lost with the node are not counted.
    assert training.summary()["resumed"] == slots
    assert training.summary()["steps"] == STEPS
    assert len(list(training.folder.glob("work/*/key.json"))) == 1
