"""What the jobs of a rule ask of a cluster."""

from pydantic import Field

from workflow_scripts.common.config.base import Section


class JobLimits(Section):
    """What one job asks for. A job that is tried again asks for as many times more memory and time."""

    cores: int | None = Field(None, ge=1, description="Cores (on each machine).")
    memory_mb: int | None = Field(
        None,
        ge=512,
        description="Memory (on each machine), MB; none: what such a job was measured to need "
        "(`workflow_scripts/common/job_needs.csv`), else the site's `memory_mb`.",
    )
    minutes: int | None = Field(
        None,
        ge=1,
        description="Time; none: what such a job was measured to need (the same file), and for training all that the "
        "site allows.",
    )
    gpus: int | None = Field(
        None, ge=0, description="GPUs (on each machine); none: what training and embedding need, unless on the CPU."
    )
