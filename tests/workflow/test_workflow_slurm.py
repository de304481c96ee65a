"""The micro world on a real Slurm, with a training over two nodes that everything happens to."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.slurm.cluster import Cluster, Job, missing_programs, running_cluster, wait_until
from workflow_scripts.common.files import sha256_file

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

SNAKEMAKE = str(Path(sys.executable).with_name("snakemake"))
CONFIG = ("--configfile", "config/config.yaml", "tests/workflow/micro.yaml")
# Two machines of one process train what one machine of two does.
MACHINES = {"slurm": "nodes: 2, processes: 1", "one": "nodes: 1, processes: 2"}
LIMITS = "limits={{train: {{{}}}, jobs: {{train_run: {{gpus: 2, memory_mb: 2000}}}}}}"
RUN, ONE = (("--config", f"run={run}", LIMITS.format(machines)) for run, machines in MACHINES.items())
WEIGHTS = "train/model.safetensors"
# Trained, exported, embedded and scored; each job takes Snakemake itself as long to start as to run here.
TARGET = "eval_insects"
# Real clusters are asked less often, and keep accounts of their jobs.
ASKED = ("--slurm-init-seconds-before-status-checks", "2", "--slurm-status-command", "squeue", "--latency-wait", "20")
SITE = """\
contact: test@institute.example
slurm: {partition: cpu, gpu_partition: gpu, internet_partition: transfer, minutes: 60}
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    if missing := missing_programs():
        pytest.skip(f"no Slurm here, left out (no {', '.join(missing)}; apt-get install slurm-wlm munge)")
    with running_cluster() as cluster:
        yield cluster


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


def test_whatever_happens_to_a_training_the_workflow_ends_with_the_same_weights(
    project: Any, finished: Any, cluster: Cluster
) -> None:
    run = project.path("results/runs/slurm")

    def steps() -> int:
        return steps_in(run)

    def trains(number: str, *, times: int) -> bool:
        """Whether the job runs, having been queued again so often, and has done a step since it was last looked at."""
        before, job = seen[0], next(job for job in training_jobs(cluster) if job.number == number)
        return job.state == "RUNNING" and cluster.started(number) == times and steps() > before

    def back() -> bool:
        """Whether the lost node is there again; Slurm may have taken it back by itself, and then refuses to."""
        with suppress(AssertionError):
            cluster.run("scontrol", "update", "NodeName=n2", "State=RESUME")
        return not cluster.run("sinfo", "--noheader", "--nodes=n2", "--format=%t").startswith(("down", "drain"))

    with started(
        [SNAKEMAKE, *CONFIG, *RUN, "--profile", "profiles/slurm", *ASKED, TARGET], project, cluster
    ) as snakemake:
        # The warning before the end of a time slot: saved, queued again, continued by the same job.
        wait_until(lambda: steps() > 5, "training", 300)
        (job,) = training_jobs(cluster)
        first = job.number
        assert (job.partition, job.nodes) == ("gpu", 2)
        cluster.run("scancel", "--signal=USR1", first)
        wait_until(lambda: cluster.started(first) == 1, "the next slot", 120)
        seen = [steps()]
        wait_until(lambda: trains(first, times=1), "training in the next slot", 300)

        # A lost node: Slurm queues the job again, and the training goes on from its checkpoint.
        cluster.run("scontrol", "update", "NodeName=n2", "State=DOWN", "Reason=test")
        wait_until(lambda: cluster.started(first) == 2, "the job without its node", 120)
        seen = [steps()]
        wait_until(back, "the node", 60)
        wait_until(lambda: trains(first, times=2), "training on the node again", 300)

        # What a person cancels is not tried again, until Snakemake is asked again: here as a job itself.
        cluster.run("scancel", first)
        assert snakemake.wait(timeout=300) != 0
    seen = [steps()]
    controller = subprocess.run(
        ["profiles/slurm/controller.sbatch", *CONFIG, *RUN, *ASKED, TARGET],
        cwd=project.folder,
        env=environment(project, cluster),
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()[-1]
    wait_until(lambda: len(training_jobs(cluster)) == 2, "another job", 120)
    second = training_jobs(cluster)[1].number
    wait_until(lambda: trains(second, times=0), "training in another job", 300)

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

    assert run.joinpath("scores/slurm/insects.json").exists()
    assert sha256_file(run / WEIGHTS) == sha256_file(finished.path(f"results/runs/micro/{WEIGHTS}"))
    # Of what was not saved in time (a lost node, a cancelled job) nothing is left to be counted.
    assert json.loads((run / "train/summary.json").read_text())["resumed"] >= 1
    states = {job.number: job.state for job in training_jobs(cluster)}
    assert states[first] == "CANCELLED"
    assert states[second] == states[third] == "COMPLETED"
    assert len(list(run.glob(".work/train/*/key.json"))) == 1


def test_a_training_on_one_node_is_warned_saved_and_continued_by_the_same_job(
    project: Any, finished: Any, cluster: Cluster
) -> None:
    run = project.path("results/runs/one")
    before = {job.number for job in training_jobs(cluster)}
    command = [SNAKEMAKE, *CONFIG, *ONE, "--profile", "profiles/slurm", *ASKED, "train_run"]
    with started(command, project, cluster) as snakemake:
        wait_until(lambda: steps_in(run) > 5, "training", 300)
        (job,) = [job for job in training_jobs(cluster) if job.number not in before]
        assert (job.partition, job.nodes) == ("gpu", 1)
        asked = cluster.run("scontrol", "show", "job", job.number)
        assert "gres:gpu:2" in asked or "gres/gpu:2" in asked
        cluster.run("scancel", "--signal=USR1", job.number)
        wait_until(lambda: cluster.started(job.number) == 1, "the next slot", 120)
        assert snakemake.wait(timeout=900) == 0, project.path("snakemake.log").read_text()
    (job,) = [job for job in training_jobs(cluster) if job.number not in before]
    assert (job.state, cluster.started(job.number)) == ("COMPLETED", 1)
    assert json.loads((run / "train/summary.json").read_text())["resumed"] == 1
    assert sha256_file(run / WEIGHTS) == sha256_file(finished.path(f"results/runs/micro/{WEIGHTS}"))


def test_rules_that_need_the_internet_go_where_it_is(project: Any, cluster: Cluster) -> None:
    before = {job.number for job in cluster.jobs()}
    subprocess.run(
        [SNAKEMAKE, *CONFIG, "--profile", "profiles/slurm", *ASKED, "retry_failed"],
        cwd=project.folder,
        env=environment(project, cluster),
        capture_output=True,
        check=True,
    )
    jobs = [job for job in cluster.jobs() if job.number not in before]
    assert {(job.rule.split("_wildcards")[0], job.partition, job.state) for job in jobs} == {
        ("rule_retry_failed", "transfer", "COMPLETED")
    }
