"""The workflow on a real Slurm, with a training over two nodes; what happens to its job is told in
tests/train/test_train_slurm.py."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.slurm.cluster import Cluster, Job, wait_until
from workflow_scripts.common.files import sha256_file

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

SNAKEMAKE = str(Path(sys.executable).with_name("snakemake"))
CONFIG = ("--configfile", "config/config.yaml", "tests/workflow/micro.yaml")
# Two machines of one process train what one machine of two does.
RUN = (
    "--config",
    "run=slurm",
    "limits={train: {nodes: 2, processes: 1}, jobs: {train_run: {gpus: 2, memory_mb: 2000}}}",
)
WEIGHTS = "train/model.safetensors"
# Real clusters are asked less often, and keep accounts of their jobs.
ASKED = ("--slurm-init-seconds-before-status-checks", "2", "--slurm-status-command", "squeue", "--latency-wait", "20")
SITE = """\
contact: test@institute.example
slurm: {partition: cpu, gpu_partition: gpu, internet_partition: transfer, minutes: 60}
"""


@pytest.fixture(scope="module")
def project(finished: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A copy of the finished project, at a place that has a cluster."""
    project = finished.copied(tmp_path_factory.mktemp("slurm") / "project")
    project.path("config/site.yaml").write_text(SITE)
    return project


def environment(project: Any, cluster: Cluster) -> dict[str, str]:
    return project.environment() | cluster.environment | {"BIN": str(Path(sys.executable).parent), "GRACE": "3"}


@contextmanager
def started(command: Sequence[str], project: Any, cluster: Cluster) -> Iterator[subprocess.Popen[bytes]]:
    """A command that does not outlive the context."""
    with project.path("snakemake.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=project.folder, env=environment(project, cluster), stdout=log, stderr=subprocess.STDOUT
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def training_jobs(cluster: Cluster) -> list[Job]:
    return [job for job in cluster.jobs() if job.rule == "rule_train_run"]


def steps_in(run: Path) -> int:
    """How many steps a run's training has done, those that were done twice included."""
    return sum(len(file.read_text().splitlines()) for file in run.glob(".work/train/*/metrics.jsonl"))


def test_a_cancelled_training_resumes_with_the_next_run_and_outlives_its_controller(
    project: Any, finished: Any, cluster: Cluster
) -> None:
    run = project.path("results/runs/slurm")

    # What a person cancels is not tried again, until Snakemake is asked again.
    command = [SNAKEMAKE, *CONFIG, *RUN, "--profile", "profiles/slurm", *ASKED, "train_run", "retry_failed"]
    with started(command, project, cluster) as snakemake:
        wait_until(lambda: steps_in(run) > 5, "training", 300)
        (job,) = training_jobs(cluster)
        first = job.number
        assert (job.partition, job.nodes) == ("gpu", 2)
        asked = cluster.run("scontrol", "show", "job", first)
        assert "gres:gpu:2" in asked or "gres/gpu:2" in asked
        cluster.run("scancel", first)
        assert snakemake.wait(timeout=300) != 0
    # Rules that need the internet go where it is.
    (retried,) = [job for job in cluster.jobs() if job.rule.startswith("rule_retry_failed")]
    assert (retried.partition, retried.state) == ("transfer", "COMPLETED")

    # Here as a job itself.
    before = steps_in(run)
    controller = subprocess.run(
        ["profiles/slurm/controller.sbatch", *CONFIG, *RUN, *ASKED, "train_run"],
        cwd=project.folder,
        env=environment(project, cluster),
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()[-1]
    wait_until(lambda: len(training_jobs(cluster)) == 2, "another job", 120)
    second = training_jobs(cluster)[1].number
    wait_until(lambda: steps_in(run) > before, "training in another job", 300)

    # The controller's own time is up: its Snakemake is killed, the training lives on (it stands still here, or it might
    # end before the next Snakemake is there), and the next Snakemake starts no second one beside it.
    cluster.run("scontrol", "suspend", second)
    cluster.run("scancel", "--batch", "--signal=USR1", controller)
    wait_until(lambda: len(training_jobs(cluster)) == 3, "the job of the next Snakemake", 120)
    third = training_jobs(cluster)[2].number
    wait_until(lambda: training_jobs(cluster)[2].reason == "Dependency", "its waiting", 120)
    assert cluster.started(controller) == 1
    assert training_jobs(cluster)[1].state == "SUSPENDED"
    cluster.run("scontrol", "resume", second)
    wait_until(lambda: {job.number: job.state for job in cluster.jobs()}[controller] == "COMPLETED", "its end", 900)

    assert sha256_file(run / WEIGHTS) == sha256_file(finished.path(f"results/runs/micro/{WEIGHTS}"))
    # Of what was not saved in time (a cancelled job) nothing is left to be counted.
    assert json.loads((run / "train/summary.json").read_text())["resumed"] >= 1
    states = {job.number: job.state for job in training_jobs(cluster)}
    assert states[first] == "CANCELLED"
    assert states[second] == states[third] == "COMPLETED"
    assert len(list(run.glob(".work/train/*/key.json"))) == 1
