"""What each rule's jobs ask for, as Snakemake's resources: numbers from the recipe, places from the site.

`job_needs.csv` holds a line a rule: the memory and time that its jobs were measured to need, with room to spare, for
recipes that say nothing else (`limits.jobs`). Where no memory stands there, it is the site's, which bounds DuckDB.
"""

import csv
import difflib
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from workflow_scripts.common.config.jobs import JobLimits
from workflow_scripts.common.config.root import Config
from workflow_scripts.common.config.site import PartitionLimits, SiteSettings, SlurmSettings
from workflow_scripts.common.errors import InputError

TRAINING = ("train_run", "pretrain")
DOWNLOADING = ("download", "replay_download", "retry_failed")
# The resource of sbatch options that a rule cannot do without; `slurm_extra` is the person's, and they come after it.
JOB_OPTIONS = "job_options"
# How a rule file names a rule's jobs.
JOB = re.compile(r'\bjob\(\s*"(\w+)"')
NEEDS = Path(__file__).with_name("job_needs.csv")
# In a job of Slurm two Snakemakes of 250 MB run beside the step: one that starts the job's step, and one that runs it.
SNAKEMAKE_MB = 500
# Of a training process: its model and its optimizer, and both once more when it is taken up again.
PROCESS_MB = 16_000
# Of each of its workers: the words and captions that it keeps, and batches, two that wait and one in the making.
WORKER_MB = 1000
WORKER_BATCHES = 3
# Its searches, 492 a model, run side by side.
NEWT_CORES = 16


@dataclass(frozen=True)
class Needs:
    """What one job needs on each of its machines.

    Attributes:
        cores: of the CPU.
        memory_mb: MB.
        minutes: None: as many as there are.
        gpus: how many.
        nodes: machines.
    """

    cores: int
    memory_mb: int
    minutes: int | None
    gpus: int
    nodes: int


@cache
def measured() -> Mapping[str, tuple[int | None, int]]:
    """Memory (MB; None: the site's) and time (minutes) that a rule's jobs were measured to need."""
    with NEEDS.open(encoding="utf-8", newline="") as file:
        return {
            row["rule"]: (int(row["memory_mb"]) if row["memory_mb"] else None, int(row["minutes"]))
            for row in csv.DictReader(file)
        }


def needs_of(rule: str, config: Config, site: SiteSettings) -> Needs:
    """What a rule's jobs need: what the recipe says, or what follows from the rest of it."""
    asked = config.limits.jobs.get(rule, JobLimits())
    train, embed = config.limits.train, config.limits.embed
    uses_gpus = not config.train.allow_cpu
    fixed_mb, minutes = (None, None) if rule in TRAINING else measured()[rule]
    cores, gpus, memory_mb, nodes = 1, 0, fixed_mb or site.memory_mb, 1
    if rule in TRAINING:
        # On CPUs the processes compute on all their threads, and results shall not depend on the loader's workers.
        cores = train.processes * (1 + train.workers if uses_gpus else 1)
        gpus = uses_gpus * train.processes
        nodes = train.nodes
        memory_mb = train.processes * (PROCESS_MB + train.workers * _worker_mb(rule, config))
    elif rule in DOWNLOADING:
        memory_mb = _download_mb(rule, config, asked.memory_mb)
    elif rule == "embed":
        cores, gpus = 1 + embed.workers, int(uses_gpus)
    elif rule == "screen":
        cores, gpus = 1 + config.limits.screen.workers, int(uses_gpus)
    elif rule in ("species_texts", "screen_classes"):
        gpus = int(uses_gpus)
    elif rule == "newt_search":
        cores = NEWT_CORES
    return Needs(
        cores=asked.cores or cores,
        memory_mb=asked.memory_mb or memory_mb,
        minutes=asked.minutes or minutes,
        gpus=gpus if asked.gpus is None else asked.gpus,
        nodes=nodes,
    )


def _download_mb(rule: str, config: Config, asked_mb: int | None) -> int:
    """Memory of a job that downloads: what its limits let it hold.

    Raises:
        InputError: the recipe asks for less.
    """
    limits = config.limits.download
    needed = limits.memory_mb(max(settings.most_bytes for settings in config.downloads.values()))
    if asked_mb is not None and asked_mb < needed:
        raise InputError(
            f"limits.jobs.{rule}.memory_mb: {asked_mb} is less than the {needed} MiB that limits.download lets a job "
            "hold; ask for that, or lower its image_memory_mb and body_memory_mb"
        )
    return needed


def _worker_mb(rule: str, config: Config) -> int:
    """Memory of a worker of a training; batches are uint8, and images as large as in the shards, or smaller."""
    recipe = config.pretrain if rule == "pretrain" and config.pretrain else config.train
    processes = config.limits.train.nodes * config.limits.train.processes
    pairs = (recipe.global_batch + recipe.replay_batch) / processes
    return WORKER_MB + int(WORKER_BATCHES * pairs * 3 * config.shards.image_size**2 / 10**6)


@dataclass(frozen=True)
class Job:
    """What a rule takes from its name: what its jobs ask for, and where they write what they say and cost.

    Attributes:
        cores: of the CPU.
        resources: Snakemake's other resources.
        log: path of the log file.
        benchmark: path of Snakemake's table of time and memory.
    """

    cores: int
    resources: Mapping[str, Any]
    log: str
    benchmark: str


def check_names(limits: Iterable[str], rules: Path, where: str) -> None:
    """Check that every rule whose jobs are given limits stands in one of the rule files, included or not.

    Args:
        limits: names of rules; of those made by name (`eval_<benchmark>`, `catalog_merge_g000`) the part in common.
        rules: the folder of rule files.
        where: what the message names as their place.

    Raises:
        InputError: one is no rule.
    """
    known = {name for file in rules.glob("*.smk") for name in JOB.findall(file.read_text(encoding="utf-8"))}
    for name in limits:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise InputError(f"{where}: {name!r} is no rule" + (f"; did you mean {near[0]}?" if near else ""))


def resources_of(
    rule: str, config: Config, site: SiteSettings, *, slurm: SlurmSettings | None, internet: bool = False
) -> dict[str, Any]:
    """Snakemake's resources of a rule.

    Args:
        rule: its name.
        config: the recipe.
        site: the place.
        slurm: the cluster that jobs are sent to; None: this machine.
        internet: whether its jobs need the internet. Without a partition for them they run where Snakemake runs.

    Raises:
        InputError: a download needs more memory than there is, or a job more GPUs than a node has.
    """
    needs = granted(rule, config, site, slurm=slurm, internet=internet)
    most = _most(needs, slurm, internet) if slurm else PartitionLimits()
    most_mb = most.memory_mb or site.memory_mb
    # What a recipe asks of a cluster beyond that is cut to what the site has, as of any other rule.
    if rule in DOWNLOADING and (needed := _download_mb(rule, config, None)) > most_mb:
        raise InputError(
            f"{rule}: a job needs {needed} MiB by limits.download, and the site's memory_mb is {most_mb}: "
            "raise that, or lower image_memory_mb and body_memory_mb of limits.download"
        )
    resources: dict[str, Any] = {"mem_mb": _more_each_time(needs.memory_mb, most_mb)}
    if internet:
        resources["internet"] = 1
    if slurm is None or (internet and slurm.internet_partition is None):
        return resources
    if rule in DOWNLOADING:
        # What bounds other steps is the resource itself.
        resources["mem_mb"] = _more_each_time(needs.memory_mb + SNAKEMAKE_MB, most_mb)
    minutes = most.minutes or slurm.minutes
    resources["runtime"] = _more_each_time(needs.minutes, minutes) if needs.minutes else minutes
    resources["slurm_partition"] = _partition(needs, slurm, internet)
    account, qos = slurm.account, slurm.qos
    if needs.gpus:
        account, qos = slurm.gpu_account or account, slurm.gpu_qos or qos
        resources["gres"] = f"{slurm.gpu}:{needs.gpus}"
    if qos:
        resources["qos"] = qos
    if account:
        resources["slurm_account"] = account
    options = [slurm.extra] if slurm.extra else []
    if slurm.mail and rule in slurm.mail.rules:
        options.append(shlex.join(slurm.mail.options))
    if rule in TRAINING:
        resources |= _steps(needs)
        options.append(f"--signal=USR1@{slurm.warning_seconds} --open-mode=append")
    if options:
        resources[JOB_OPTIONS] = " ".join(options)
    return resources


def granted(
    rule: str, config: Config, site: SiteSettings, *, slurm: SlurmSettings | None, internet: bool = False
) -> Needs:
    """What a rule's jobs need, with no more cores than a node of their partition has.

    Args:
        rule: its name.
        config: the recipe.
        site: the place.
        slurm: the cluster that jobs are sent to; None: this machine.
        internet: whether its jobs need the internet.

    Raises:
        InputError: a job needs more GPUs than a node of its partition has.
    """
    needs = needs_of(rule, config, site)
    if slurm is None or (internet and slurm.internet_partition is None):
        return needs
    most, partition = _most(needs, slurm, internet), _partition(needs, slurm, internet)
    if most.gpus is not None and needs.gpus > most.gpus:
        raise InputError(
            f"{rule}: a job needs {needs.gpus} GPUs on each node, and config/site.yaml says {most.gpus} "
            f"(slurm.limits.{partition}.gpus): lower limits.train.processes (or limits.jobs.{rule}.gpus) to that, "
            "and raise limits.train.nodes"
        )
    return replace(needs, cores=min(needs.cores, most.cpus or needs.cores))


def _partition(needs: Needs, slurm: SlurmSettings, internet: bool) -> str:
    if needs.gpus:
        return slurm.gpu_partition or slurm.partition
    return slurm.internet_partition or slurm.partition if internet else slurm.partition


def _most(needs: Needs, slurm: SlurmSettings, internet: bool) -> PartitionLimits:
    return slurm.most(_partition(needs, slurm, internet))


def _steps(needs: Needs) -> dict[str, Any]:
    """A job whose command starts its own job step, a task a node (`train.slots`), and is warned before its end.

    To the plugin that is an MPI job: any other is one step itself, in which the warning would end Snakemake. It takes
    no MPI job of one task, so of one node only the name of the resource is there, which is what its job side asks for.
    """
    return {
        "nodes": needs.nodes,
        "mpi": "srun" if needs.nodes > 1 else "",
        "tasks": needs.nodes,
        # Or the tasks would be counted by GPU as well.
        "tasks_per_gpu": 0,
    }


def _more_each_time(amount: int, most: int) -> Callable[..., int]:
    def asked(wildcards: Any, attempt: int) -> int:
        return min(amount * attempt, most)

    return asked
