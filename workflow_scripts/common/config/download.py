"""Downloading images."""

from pydantic import Field

from workflow_scripts.common.config.base import Section


class DownloadSettings(Section):
    """What is kept of a downloaded image. Changing it downloads again."""

    min_size: int = Field(224, ge=0, description="Images whose shorter side is below this are refused, pixels.")
    max_size: int = Field(720, ge=1, description="Images are scaled so that the longer side is at most this, pixels.")
    jpeg_quality: int = Field(95, ge=1, le=100, description="JPEG quality of what is kept.")
    max_pixels: int = Field(
        100_000_000,
        ge=1,
        le=178_956_970,
        description="Images whose header claims more pixels are refused undecoded. At most Pillow's own bound.",
    )
    max_bytes: int = Field(50_000_000, ge=1, description="Bodies are read up to this many bytes.")
    images_per_tar: int = Field(1000, ge=1, description="Images a tar: what is fetched again after a kill, at most.")
    passes: int = Field(3, ge=1, le=10, description="How often transient failures are tried, the first time included.")


class DownloadLimits(Section):
    """How hard hosts are pressed. It cannot change the bytes, so changing it downloads nothing again."""

    threads: int = Field(16, ge=1, description="Connections at once a job.")
    timeout: float = Field(20.0, gt=0, description="Seconds without data before a connection is given up.")
    total_timeout: float = Field(120.0, gt=0, description="Seconds for one body before it is given up.")
    wait: float = Field(
        5.0, ge=0, description="Seconds before the first retry pass; each further one waits twice as long."
    )
    max_wait: float = Field(
        60.0,
        ge=0,
        description="Seconds that a host's Retry-After may keep its images waiting since its last good answer; beyond "
        "it they are left to a later pass, and are `deferred` in the end.",
    )
    allow_hosts: list[str] = Field(
        default_factory=list,
        description="Loopback or private addresses (CIDR or host) that may be asked all the same. Others never are.",
    )
