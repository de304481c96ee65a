"""Resources of each rule's jobs for Snakemake: amounts from the recipe, partitions and accounts from the site.

`job_needs.csv` has one line per rule: the measured memory and time of its jobs, with a margin. `limits.jobs` in the
recipe overrides it. Rules without a memory value use the site's `memory_mb`, which bounds DuckDB.
"""

import csv
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
from workflow_scripts.common.errors import InputError, did_you_mean

TRAINING = ("train_run", "pretrain")
DOWNLOADING = ("download", "replay_download", "retry_failed")
# Resource of the sbatch options that a rule requires; they are appended to the user's `slurm_extra`.
JOB_OPTIONS = "job_options"
# How rule files name the jobs of a rule.
JOB = re.compile(r'\bjob\(\s*"(\w+)"')
NEEDS = Path(__file__).with_name("job_needs.csv")
# Two Snakemake processes of 250 MB run beside the step in a Slurm job: one starts the job step, the other runs it.
SNAKEMAKE_MB = 500
# Per training process: model and optimizer, and both a second time when training resumes.
PROCESS_MB = 16_000
# Per data worker: cached words and captions, and three batches, two of them waiting.
WORKER_MB = 1000
WORKER_BATCHES = 3
# NeWT has 492 searches per model, which run in parallel.
NEWT_CORES = 16


@dataclass(frozen=True)
class Needs:
    """What one job needs on each of its nodes.

    Attributes:
        cores: CPU cores.
        memory_mb: memory, MB.
        minutes: run time, minutes; None: the longest allowed.
        gpus: number of GPUs.
        nodes: number of nodes.
    """

    cores: int
    memory_mb: int
    minutes: int | None
    gpus: int
    nodes: int


@cache
def measured() -> Mapping[str, tuple[int | None, int]]:
    """Measured memory (MB; None: the site's) and time (minutes) of jobs, by rule."""
    with NEEDS.open(encoding="utf-8", newline="") as file:
        return {
            row["rule"]: (int(row["memory_mb"]) if row["memory_mb"] else None, int(row["minutes"]))
            for row in csv.DictReader(file)
        }


def needs_of(rule: str, config: Config, site: SiteSettings) -> Needs:
    """What a rule's jobs need: `limits.jobs` of the recipe, else computed from its other settings."""
    limits = config.limits.jobs.get(rule, JobLimits())
    train, embed = config.limits.train, config.limits.embed
    uses_gpus = not config.train.allow_cpu
    fixed_mb, minutes = (None, None) if rule in TRAINING else measured()[rule]
    cores, gpus, memory_mb, nodes = 1, 0, fixed_mb or site.memory_mb, 1
    if rule in TRAINING:
        # On CPUs, processes compute with all their threads, and results must not depend on the number of workers.
        cores = train.processes * (1 + train.workers if uses_gpus else 1)
        gpus = uses_gpus * train.processes
        nodes = train.nodes
        memory_mb = train.processes * (PROCESS_MB + train.workers * _worker_mb(rule, config))
    elif rule in DOWNLOADING:
        memory_mb = _download_mb(rule, config, limits.memory_mb)
    elif rule == "embed":
        cores, gpus = 1 + embed.workers, int(uses_gpus)
    elif rule == "screen":
        cores, gpus = 1 + config.limits.screen.workers, int(uses_gpus)
    elif rule in ("species_texts", "screen_classes"):
        gpus = int(uses_gpus)
    elif rule == "newt_search":
        cores = NEWT_CORES
    return Needs(
        cores=limits.cores or cores,
        memory_mb=limits.memory_mb or memory_mb,
        minutes=limits.minutes or minutes,
        gpus=gpus if limits.gpus is None else limits.gpus,
        nodes=nodes,
    )


def _download_mb(rule: str, config: Config, configured_mb: int | None) -> int:
    """Memory of a download job, which follows from `limits.download`.

    Raises:
        InputError: `limits.jobs` of the recipe gives less.
    """
    limits = config.limits.download
    needed = limits.memory_mb(max(settings.most_bytes for settings in config.downloads.values()))
    if configured_mb is not None and configured_mb < needed:
        raise InputError(
            f"limits.jobs.{rule}.memory_mb: {configured_mb} is less than the {needed} MiB that a job may use by "
            "limits.download; raise it, or lower image_memory_mb and body_memory_mb there"
        )
    return needed


def _worker_mb(rule: str, config: Config) -> int:
    """Memory of a data worker of a training; batches are uint8, with images of at most the shards' size."""
    recipe = config.pretrain if rule == "pretrain" and config.pretrain else config.train
    processes = config.limits.train.nodes * config.limits.train.processes
    pairs = (recipe.global_batch + recipe.replay_batch) / processes
    return WORKER_MB + int(WORKER_BATCHES * pairs * 3 * config.shards.image_size**2 / 10**6)


@dataclass(frozen=True)
class Job:
    """The parts of a rule that follow from its name.

    Attributes:
        cores: CPU cores.
        resources: Snakemake's other resources.
        log: path of the log file.
        benchmark: path of Snakemake's benchmark file.
    """

    cores: int
    resources: Mapping[str, Any]
    log: str
    benchmark: str


def check_names(limits: Iterable[str], rules: Path, where: str) -> None:
    """Check that all names of rules exist in a rule file, included or not.

    Args:
        limits: names of rules; for generated rules (`eval_<benchmark>`, `catalog_merge_g000`), the common part.
        rules: the folder of rule files.
        where: the config key of the names, for the message.

    Raises:
        InputError: a name is not that of a rule.
    """
    known = {name for file in rules.glob("*.smk") for name in JOB.findall(file.read_text(encoding="utf-8"))}
    for name in limits:
        if name not in known:
            raise InputError(f"{where}: {name!r} is not a rule{did_you_mean(name, known)}")


def resources_of(
    rule: str, config: Config, site: SiteSettings, *, slurm: SlurmSettings | None, internet: bool = False
) -> dict[str, Any]:
    """Snakemake's resources of a rule.

    Args:
        rule: name of the rule.
        config: the recipe.
        site: the site file.
        slurm: the cluster to submit jobs to; None: this machine.
        internet: whether its jobs need the internet. Without a partition for such jobs, they run beside Snakemake.

    Raises:
        InputError: a download needs more memory than the site has, or a job more GPUs than a node has.
    """
    needs = granted(rule, config, site, slurm=slurm, internet=internet)
    most = _most(needs, slurm, internet) if slurm else PartitionLimits()
    most_mb = most.memory_mb or site.memory_mb
    # Other requests above the site's limit are reduced to it.
    if rule in DOWNLOADING and (needed := _download_mb(rule, config, None)) > most_mb:
        key = slurm.memory_key(_partition(needs, slurm, internet)) if slurm else "memory_mb"
        raise InputError(
            f"{rule}: a job needs {needed} MiB by limits.download, but {key} in config/site.yaml is {most_mb}; "
            "raise it, or lower image_memory_mb and body_memory_mb in limits.download"
        )
    resources: dict[str, Any] = {"mem_mb": _per_attempt(needs.memory_mb, most_mb)}
    if internet:
        resources["internet"] = 1
    if slurm is None or (internet and slurm.internet_partition is None):
        return resources
    if rule in DOWNLOADING:
        # Other steps are bounded by the resource itself.
        resources["mem_mb"] = _per_attempt(needs.memory_mb + SNAKEMAKE_MB, most_mb)
    minutes = most.minutes or slurm.minutes
    resources["runtime"] = _per_attempt(needs.minutes, minutes) if needs.minutes else minutes
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
    """What a rule's jobs need, with at most as many cores as a node of their partition has.

    Args:
        rule: name of the rule.
        config: the recipe.
        site: the site file.
        slurm: the cluster to submit jobs to; None: this machine.
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
            f"{rule}: a job needs {needs.gpus} GPUs per node, but config/site.yaml allows {most.gpus} "
            f"(slurm.limits.{partition}.gpus); lower limits.train.processes (or limits.jobs.{rule}.gpus) to that, "
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
    """Resources of a job whose command starts its own job step, with one task per node (`train.slots`).

    The plugin treats it as an MPI job. It runs any other job as one step, in which the warning signal before the time
    limit would end Snakemake. It accepts no MPI job with one task; for one node, `mpi` is therefore empty but present,
    which is what the plugin checks inside the job.
    """
    return {
        "nodes": needs.nodes,
        "mpi": "srun" if needs.nodes > 1 else "",
        "tasks": needs.nodes,
        # Otherwise tasks would also be counted by GPU.
        "tasks_per_gpu": 0,
    }


def _per_attempt(amount: int, most: int) -> Callable[..., int]:
    def at_attempt(wildcards: Any, attempt: int) -> int:
        return min(amount * attempt, most)

    return at_attempt
