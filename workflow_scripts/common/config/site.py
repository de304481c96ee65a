"""What belongs to a place, not to a recipe: `config/site.yaml`."""

import re

from pydantic import Field, field_validator, model_validator

from workflow_scripts.common.config.base import Section, check_path
from workflow_scripts.common.errors import InputError

# What stands in config/site.example.yaml to be replaced; hosts would be told to write to nobody.
EXAMPLES = ("someone@your-institute.example", "your_account")


# Who asks hosts for images, where the site says nothing else.
PRODUCT = "treeoflife-workflow"
# A name, and its version where it has one (RFC 9110, 10.1.5).
_TOKEN = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_PRODUCT = re.compile(f"({_TOKEN})(/{_TOKEN})?")
BROWSERS = {"mozilla", "applewebkit", "chrome", "chromium", "safari", "gecko", "firefox", "opera", "opr", "edge", "edg"}


def check_product(product: str) -> str:
    """A name for the user agent.

    Raises:
        ValueError: it is none, or a browser's.
    """
    found = _PRODUCT.fullmatch(product)
    if found is None:
        raise ValueError(f"product: {product!r} is no name of a product; give one like my-lab or my-lab/1.0")
    if found[1].lower() in BROWSERS:
        raise ValueError(f"product: {product} is a browser's name; hosts are told who asks: give your own")
    return product


class SlurmSettings(Section):
    """This place's Slurm, for `--profile profiles/slurm`."""

    partition: str = Field(description="Partition of jobs that need no GPU.")
    gpu_partition: str | None = Field(None, description="Partition of jobs that need GPUs; none: `partition`.")
    internet_partition: str | None = Field(
        None,
        description="Partition whose nodes reach the internet (data transfer), for the rules that need it; none: they "
        "run where Snakemake runs, which is the login node.",
    )
    account: str | None = Field(None, description="Account that jobs are charged to, where the cluster asks for one.")
    qos: str | None = Field(None, description="Quality of service of jobs, where the cluster asks for one.")
    gpu_qos: str | None = Field(None, description="Quality of service of jobs that need GPUs; none: `qos`.")
    gpu: str = Field("gpu", description="Name of a GPU in `--gres=NAME:COUNT`, such as `gpu:a100`.")
    minutes: int = Field(
        1440,
        ge=1,
        description="Longest that a job may run in any of these partitions. A training that takes longer goes on in "
        "the next slot.",
    )
    memory_mb: int = Field(256_000, ge=1024, description="Most memory that a job may ask of a node, MB.")
    warning_seconds: int = Field(
        600, ge=1, le=65535, description="How long before its time is up a training is told to save and stop."
    )

    @model_validator(mode="after")
    def _time_to_train(self) -> "SlurmSettings":
        if self.warning_seconds >= 60 * self.minutes:
            raise ValueError(
                f"minutes: {self.minutes} are no more than the warning_seconds, {self.warning_seconds}: a "
                "training would be told to stop as it starts, slot after slot"
            )
        return self


class SiteSettings(Section):
    """Where this machine or cluster keeps things, and who answers for it. Never part of a recipe."""

    results: str = Field("results", description="Folder for everything that is made.")
    data: str = Field(
        "data", description="Folder of what is given: metadata, benchmarks, models. Recipes call it `{data}`."
    )
    scratch: str | None = Field(
        None, description="The nodes' own disk, for `limits.train.stage_gb`; it may name a variable (`$TMPDIR`)."
    )
    memory_mb: int = Field(
        4096, ge=512, description="Memory limit of a data step (DuckDB spills to disk beyond it), MiB."
    )
    contact: str | None = Field(
        None, description="Mail or web address in the user agent, so that a host can reach you."
    )
    product: str = Field(
        PRODUCT,
        description="Name in the user agent (`my-lab` or `my-lab/1.0`), beside the project's. Never a browser's.",
    )
    gbif_api: str = Field(
        "https://api.gbif.org/v1", description="GBIF's interface, or a mirror of it, that downloads are fetched from."
    )
    offline: bool = Field(
        False, description="Nothing here reaches the internet: what is not fetched yet is listed before anything runs."
    )
    image: str | None = Field(
        None, description="Apptainer image that steps run in (envs/workflow.def); none: Snakemake's own environment."
    )
    slurm: SlurmSettings | None = Field(None, description="The cluster, for `--profile profiles/slurm`.")

    _paths = field_validator("results", "data", "image")(check_path)

    _product = field_validator("product")(check_product)

    @property
    def cluster(self) -> SlurmSettings:
        """The cluster's settings, once everything that jobs on a cluster need is filled in.

        Raises:
            InputError: something is missing.
        """
        if self.slurm is None or self.contact is None:
            raise InputError(
                "config/site.yaml: --profile profiles/slurm needs `slurm` (account, partitions of jobs) and `contact` "
                "(your address, which every host that images are fetched from is told); copy "
                "config/site.example.yaml there and fill them in"
            )
        as_copied = [value for value in (self.contact, self.slurm.account) if value in EXAMPLES]
        if as_copied:
            raise InputError(f"config/site.yaml: {', '.join(as_copied)} is the example's; put your own there")
        return self.slurm
