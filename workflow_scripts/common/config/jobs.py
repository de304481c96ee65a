"""Resources of a rule's jobs."""

from pydantic import Field

from workflow_scripts.common.config.base import Section


class JobLimits(Section):
    """Resources of one job. A retry requests proportionally more memory and time."""

    cores: int | None = Field(None, ge=1, description="Cores on each machine.")
    memory_mb: int | None = Field(
        None,
        ge=512,
        description="Memory on each machine, MB. Default: the measured need of such a job "
        "(`workflow_scripts/common/job_needs.csv`), else the site's `memory_mb`.",
    )
    minutes: int | None = Field(
        None,
        ge=1,
        description="Time limit, minutes. Default: the measured need of such a job (same file); for training, "
        "the site's maximum.",
    )
    gpus: int | None = Field(
        None, ge=0, description="GPUs on each machine. Default: as training or embedding needs; 0 on the CPU."
    )
