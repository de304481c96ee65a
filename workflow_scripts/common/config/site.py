"""Settings of one machine or cluster, not of a recipe: `config/site.yaml`."""

import re
import shlex
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from workflow_scripts.common.config.base import Section, check_path
from workflow_scripts.common.errors import InputError

# Example values in config/site.example.yaml, which must be replaced: as a contact, they reach nobody.
EXAMPLES = ("someone@your-institute.example", "your_account", "your_gpu_account")


# Default product name in the user agent.
PRODUCT = "treeoflife-workflow"
# A product name, optionally with a version (RFC 9110, 10.1.5).
_TOKEN = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_PRODUCT = re.compile(f"({_TOKEN})(/{_TOKEN})?")
BROWSERS = {"mozilla", "applewebkit", "chrome", "chromium", "safari", "gecko", "firefox", "opera", "opr", "edge", "edg"}


def check_product(product: str) -> str:
    """Check a product name for the user agent, and return it.

    Raises:
        ValueError: it is not a product name, or is a browser's.
    """
    found = _PRODUCT.fullmatch(product)
    if found is None:
        raise ValueError(f"product: {product!r} is not a product name; give one like my-lab or my-lab/1.0")
    if found[1].lower() in BROWSERS:
        raise ValueError(f"product: {product} is a browser's name; use your own, so that hosts can identify you")
    return product


# Options of sbatch that a site may set: the workflow and Snakemake's plugin set none of them, and a job with them still
# runs its command once. Listed in full, because sbatch accepts abbreviated names.
EXTRA = {
    "acctg-freq", "bb", "bbf", "begin", "begin-delay", "burst-buffer", "contiguous", "core-spec", "cores-per-socket",
    "cpu-freq", "deadline", "delay-boot", "dependency", "distribution", "exclude", "exclusive", "extra",
    "extra-node-info", "get-user-env", "gpu-bind", "gpu-freq", "gres-flags", "hint", "kill-on-invalid-dep",
    "licenses", "mcs-label", "network", "nice", "no-kill", "nodelist", "ntasks-per-core", "oversubscribe", "power",
    "prefer", "priority", "profile", "propagate", "reboot", "requeue", "reservation", "sockets-per-node",
    "spread-job", "switches", "thread-spec", "threads-per-core", "tmp", "tres-bind", "use-min-nodes", "wckey",
}  # fmt: skip
# One Slurm name, or several separated by commas.
_NAME = r"^[\w.+@/-]+(,[\w.+@/-]+)*$"
# Training jobs, which may wait and run for days. Nobody reads a mail for each of thousands of other jobs.
MAILED = ("pretrain", "train_run")


class PartitionLimits(Section):
    """Maximum resources of a job in a partition."""

    minutes: int | None = Field(None, ge=1, description="Maximum run time, minutes. Default: `slurm.minutes`.")
    memory_mb: int | None = Field(None, ge=1024, description="Memory of a node, MB. Default: `slurm.memory_mb`.")
    cpus: int | None = Field(None, ge=1, description="Cores of a node. Default: no limit.")
    gpus: int | None = Field(None, ge=0, description="GPUs of a node. Default: no limit.")


class MailSettings(Section):
    """Mails that Slurm sends about jobs."""

    address: str = Field(pattern=r"^[^\s@]+@[^\s@]+$", description="Address that Slurm writes to.")
    types: list[
        Literal[
            "BEGIN", "END", "FAIL", "REQUEUE", "ALL", "INVALID_DEPEND", "STAGE_OUT", "ARRAY_TASKS",
            "TIME_LIMIT", "TIME_LIMIT_90", "TIME_LIMIT_80", "TIME_LIMIT_50",
        ]
    ] = Field(["END", "FAIL"], min_length=1, description="Events, as `sbatch --mail-type` names them.")  # fmt: skip
    rules: list[str] = Field(
        list(MAILED),
        description="Rules whose jobs send mail. The controller (`profiles/slurm/controller.sbatch`) always does.",
    )

    @property
    def options(self) -> list[str]:
        """`sbatch` options that request the mails."""
        return [f"--mail-user={self.address}", f"--mail-type={','.join(self.types)}"]


class SlurmSettings(Section):
    """Slurm on this cluster, for `--profile profiles/slurm`."""

    partition: str = Field(pattern=_NAME, description="Partition of jobs that need no GPU.")
    gpu_partition: str | None = Field(
        None, pattern=_NAME, description="Partition of jobs that need GPUs. Default: `partition`."
    )
    internet_partition: str | None = Field(
        None,
        pattern=_NAME,
        description="Partition whose nodes reach the internet, for the rules that need it. Default: these run "
        "where Snakemake runs, usually on the login node.",
    )
    account: str | None = Field(
        None, pattern=_NAME, description="Account that jobs are charged to, if the cluster requires one."
    )
    gpu_account: str | None = Field(None, pattern=_NAME, description="Account of jobs with GPUs. Default: `account`.")
    qos: str | None = Field(None, pattern=_NAME, description="Quality of service of jobs, if the cluster requires one.")
    gpu_qos: str | None = Field(
        None, pattern=_NAME, description="Quality of service of jobs that need GPUs. Default: `qos`."
    )
    gpu: str = Field(
        "gpu", pattern=r"^[\w.-]+(:[\w.-]+)?$", description="Name of a GPU in `--gres=NAME:COUNT`, such as `gpu:a100`."
    )
    minutes: int = Field(
        1440,
        ge=1,
        description="Maximum run time of a job, minutes, unless `limits` sets one. A longer training continues in "
        "the next slot.",
    )
    memory_mb: int = Field(
        256_000,
        ge=1024,
        description="Maximum memory of a job on a node, MB, unless `limits` sets one.",
    )
    limits: dict[str, PartitionLimits] = Field(
        {}, description="Limits by partition. Jobs request no more time, memory and cores than these."
    )
    warning_seconds: int = Field(
        600,
        ge=1,
        le=65535,
        description="Seconds before its time limit at which a training is told to save and stop.",
    )
    mail: MailSettings | None = Field(None, description="Mails that Slurm sends. Default: none.")
    extra: str = Field(
        "", description="Further options of `sbatch` for every job, such as `--reservation=NAME` or `--exclude=NODES`."
    )
    modules: list[str] = Field([], description="Environment modules that every job loads before its command.")
    setup: str | None = Field(
        None,
        description="File of shell commands that every job sources before its command, after `modules`. Variables in "
        "the path are not expanded.",
    )

    _paths = field_validator("setup")(check_path)

    @field_validator("extra")
    @classmethod
    def _extra_is_allowed(cls, extra: str) -> str:
        """Check that no option is set by another key or by Snakemake."""
        for word in shlex.split(extra):
            name = word.partition("=")[0]
            if name.removeprefix("--") not in EXTRA or not name.startswith("--"):
                raise ValueError(
                    f"{name} is set elsewhere, or is not written in full as --NAME or --NAME=VALUE; account, "
                    "partition, qos, GPUs, time, memory and mail have keys of their own; options of one rule "
                    "(constraint, nodes) are set by --set-resources RULE:NAME=VALUE"
                )
        return shlex.join(shlex.split(extra))

    def most(self, partition: str | None) -> PartitionLimits:
        """Limits of a job in a partition; minutes and memory are always set."""
        own = self.limits.get(partition or self.partition, PartitionLimits())
        return own.model_copy(
            update={"minutes": own.minutes or self.minutes, "memory_mb": own.memory_mb or self.memory_mb}
        )

    def memory_key(self, partition: str) -> str:
        """The key that limits a job's memory in a partition."""
        own = self.limits.get(partition)
        return f"slurm.limits.{partition}.memory_mb" if own and own.memory_mb else "slurm.memory_mb"

    @model_validator(mode="after")
    def _time_to_train(self) -> "SlurmSettings":
        minutes = self.most(self.gpu_partition).minutes or self.minutes
        if self.warning_seconds >= 60 * minutes:
            raise ValueError(
                f"minutes: {minutes} minutes are not longer than warning_seconds ({self.warning_seconds}): every slot "
                "of a training would stop as it starts; raise minutes or lower warning_seconds"
            )
        return self

    @model_validator(mode="after")
    def _known_partitions(self) -> "SlurmSettings":
        known = {self.partition, self.gpu_partition, self.internet_partition} - {None}
        if unknown := sorted(set(self.limits) - known):
            names = ", ".join(sorted(map(str, known)))
            raise ValueError(f"limits: {unknown[0]} is not a partition that jobs are sent to ({names})")
        return self


def _example() -> str:
    """Path of the example file: relative to the current folder, if it is below it."""
    example = Path(__file__).resolve().parents[3] / "config/site.example.yaml"
    return str(example.relative_to(Path.cwd()) if example.is_relative_to(Path.cwd()) else example)


class SiteSettings(Section):
    """Folders, contact and limits of this machine or cluster. Never part of a recipe."""

    results: str = Field("results", description="Folder for all results.")
    data: str = Field(
        "data",
        description="Folder for files that you provide: metadata, benchmarks, models. It is `{data}` in recipes.",
    )
    scratch: str | None = Field(
        None,
        description="Folder on the nodes' local disk, for `limits.train.stage_gb`. It may contain a variable "
        "(`$TMPDIR`).",
    )
    memory_mb: int = Field(4096, ge=512, description="Memory of a data step, MiB. Beyond it, DuckDB spills to disk.")
    contact: str | None = Field(
        None, description="Email or web address sent in the user agent, so that a host's operator can reach you."
    )
    product: str = Field(
        PRODUCT,
        description="Name in the user agent (`my-lab` or `my-lab/1.0`), before the project's. Never a browser's.",
    )
    gbif_api: str = Field("https://api.gbif.org/v1", description="Address of GBIF's API, or of a mirror.")
    offline: bool = Field(
        False,
        description="Whether there is no internet here. Files that are still to be fetched are then listed before "
        "anything runs.",
    )
    image: str | None = Field(
        None, description="Apptainer image for the steps (envs/workflow.def). Default: Snakemake's environment."
    )
    slurm: SlurmSettings | None = Field(None, description="Slurm settings, for `--profile profiles/slurm`.")

    _paths = field_validator("results", "data", "image")(check_path)

    _product = field_validator("product")(check_product)

    @property
    def cluster(self) -> SlurmSettings:
        """The Slurm settings, checked for everything that jobs on a cluster need.

        Raises:
            InputError: a setting is missing or still the example's.
        """
        if self.slurm is None or self.contact is None:
            raise InputError(
                "config/site.yaml: --profile profiles/slurm needs `slurm` (account, partitions) and `contact` (your "
                f"address, sent to every host that images are fetched from); copy {_example()} to config/site.yaml "
                "and fill them in"
            )
        mail = self.slurm.mail.address if self.slurm.mail else None
        given = {
            "contact": self.contact,
            "slurm.account": self.slurm.account,
            "slurm.gpu_account": self.slurm.gpu_account,
            "slurm.mail.address": mail,
        }
        if unchanged := [f"{key}: {value}" for key, value in given.items() if value in EXAMPLES]:
            raise InputError(f"config/site.yaml: {', '.join(unchanged)}: example value; replace it with your own")
        return self.slurm
