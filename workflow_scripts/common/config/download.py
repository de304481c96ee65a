"""Settings and limits of downloads."""

import math
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from pydantic import Field, field_validator, model_validator

from workflow_scripts.common.config.base import Section

T = TypeVar("T")

# Settings that change the stored image for the same response.
PICTURE = ("min_size", "max_size", "jpeg_quality")
# Settings that decide which images are accepted: a new value only retries images that the old one refused.
DECIDING = ("allow_hosts", "content_types", "max_bytes", "max_pixels", "check_certificates", "passes")


class Rewrite(Section):
    """A smaller rendition offered by a host. Its URL is derived from the URL in the catalog."""

    pattern: str = Field(description="Regular expression to search for in the URL.")
    replacement: str = Field(description="Replacement (`\\1` is the first group).")

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"{value!r} is not a regular expression: {error}") from None
        return value


class HostSettings(Section):
    """Settings of one host. Changing `rewrite` downloads its images again; other changes retry refused images."""

    content_types: list[str] | None = Field(None, description="Content types to accept.")
    max_bytes: int | None = Field(
        None, ge=1, description="Maximum size of an image file, bytes. Larger ones are refused."
    )
    max_pixels: int | None = Field(
        None, ge=1, description="Maximum number of pixels. Larger images are refused without decoding."
    )
    check_certificates: bool = Field(
        True,
        description="Whether to check the host's TLS certificate. Images fetched without the check are marked "
        "in manifest and report.",
    )
    rewrite: Rewrite | None = Field(
        None, description="A smaller rendition to request first. If it is not found, the URL in the catalog is used."
    )


class EffectiveSettings(NamedTuple):
    """Effective settings for one host: its own, or else those for all hosts."""

    content_types: list[str]
    max_bytes: int
    max_pixels: int
    check_certificates: bool
    rewrite: Rewrite | None


class DownloadSettings(Section):
    """Checks, sizes and quality. Changing sizes or quality downloads again; other changes retry refused images."""

    min_size: int = Field(224, ge=0, description="Minimum shorter side, pixels. Smaller images are refused.")
    max_size: int = Field(720, ge=1, description="Maximum longer side, pixels. Larger images are scaled down to it.")
    jpeg_quality: int = Field(95, ge=1, le=100, description="JPEG quality of stored images.")
    max_pixels: int = Field(
        100_000_000,
        ge=1,
        description="Maximum number of pixels, as given in the image's header. Larger images are refused without "
        "decoding. `limits.download.image_memory_mb` must hold one such image at 4 bytes per pixel.",
    )
    max_bytes: int = Field(
        50_000_000, ge=1, description="Maximum size of an image file, bytes. Larger ones are refused."
    )
    content_types: list[str] = Field(
        default=["image/*", "application/octet-stream", "binary/octet-stream"],
        description="Content types to accept; `image/*` is any image. A response without a content type is accepted.",
    )
    respect_robots: bool = Field(
        True,
        description="Whether to respect X-Robots-Tag (noai, noimageai, noindex, noimageindex). Turning it on "
        "downloads again.",
    )
    images_per_tar: int = Field(
        1000, ge=1, description="Images per tar. If a job is killed, at most one tar is downloaded again."
    )
    passes: int = Field(
        3, ge=1, le=10, description="Number of passes: the first one, and retries of transient failures."
    )
    allow_hosts: list[str] = Field(
        default_factory=list,
        description="Loopback or private addresses (CIDR or host) that may be requested. Other loopback and "
        "private addresses are refused.",
    )
    hosts: dict[str, HostSettings] = Field(
        default_factory=dict, description="Settings by host (`name` or `name:port`)."
    )

    @model_validator(mode="after")
    def _sizes_fit(self) -> "DownloadSettings":
        if self.min_size > self.max_size:
            raise ValueError(f"min_size: {self.min_size} is above max_size, {self.max_size}")
        return self

    def of_host(self, host: str) -> EffectiveSettings:
        """Effective settings for a host."""
        own = find_host(self.hosts, host) or HostSettings()
        return EffectiveSettings(
            content_types=self.content_types if own.content_types is None else own.content_types,
            max_bytes=own.max_bytes or self.max_bytes,
            max_pixels=own.max_pixels or self.max_pixels,
            check_certificates=own.check_certificates,
            rewrite=own.rewrite,
        )

    @property
    def unchecked_hosts(self) -> set[str]:
        """Hosts whose TLS certificates are not checked."""
        return {name.lower() for name, host in self.hosts.items() if not host.check_certificates}

    @property
    def most_bytes(self) -> int:
        """Maximum file size accepted from any host, bytes."""
        return max([self.max_bytes, *(own.max_bytes or 0 for own in self.hosts.values())])

    @property
    def most_pixels(self) -> int:
        """Maximum number of pixels accepted from any host."""
        return max([self.max_pixels, *(own.max_pixels or 0 for own in self.hosts.values())])

    def decides(self, name: str, host: str) -> Any:
        """Effective value of one of the settings in `DECIDING` for a host."""
        return getattr(self.of_host(host), name) if name in EffectiveSettings._fields else getattr(self, name)


def keeps_images(keys: Iterable[str]) -> bool:
    """Whether changing these settings (`max_bytes`, `hosts.a.example.max_bytes`) keeps all downloaded images."""
    return all(key.rpartition(".")[2] in DECIDING for key in keys)


class HostLimits(Section):
    """Limits for one host, shared by all jobs of a run."""

    connections: int = Field(2, ge=1, le=10_000, description="Maximum number of simultaneous connections.")
    rate: float = Field(4.0, gt=0, le=100_000, description="Maximum number of requests per second.")
    gb_per_hour: float | None = Field(
        None, gt=0, le=1_000_000, description="Maximum GB (10^9 bytes) of images in any hour. Default: no limit."
    )
    gb_per_day: float | None = Field(
        None, gt=0, le=1_000_000, description="Maximum GB of images in any 24 hours. Default: no limit."
    )
    contact: str | None = Field(None, description="Contact in the user agent for this host. Default: the site's.")


# https://www.inaturalist.org/pages/api+recommended+practices: one request per second, 5 GB of media per hour and
# 24 GB per day; exceeding them leads to a permanent ban.
INATURALIST = HostLimits(connections=1, rate=1.0, gb_per_hour=5, gb_per_day=24)
PUBLISHED_LIMITS = dict.fromkeys(("static.inaturalist.org", "api.inaturalist.org", "www.inaturalist.org"), INATURALIST)
"""Limits that hosts have published, where they are stricter than the default."""


# Memory of a download process besides response bodies and images, MiB: interpreter, libraries, 16 threads, DuckDB.
PROCESS_MB = 600
# The buffer of a body being read is up to an eighth larger than the body.
GROWING_BODY = 1.125


class DownloadLimits(Section):
    """Limits of requests and memory. They never change the images, so changing them downloads nothing again."""

    threads: int = Field(16, ge=1, description="Maximum number of simultaneous connections per job.")
    default_host: HostLimits = Field(
        default_factory=HostLimits,
        description="Limits for hosts that are not in `hosts` and have published none.",
    )
    hosts: dict[str, HostLimits] = Field(
        default_factory=dict,
        description="Limits by host (`name` or `name:port`). A host's images are spread over at most as many "
        "parts as it has `connections`. Lower limits also apply to parts that are already planned.",
    )
    stop_after: int = Field(
        20,
        ge=2,
        description="Number of latest requests to a host that are considered: if nearly all of them failed, its "
        "remaining images move to the next pass.",
    )
    body_memory_mb: int = Field(
        128, ge=1, description="Memory per job for image files being downloaded, MiB. One more file may exceed it."
    )
    image_memory_mb: int = Field(
        1200,
        ge=64,
        description="Memory for decoding images, MiB. An image that needs more is `deferred` as "
        "`needs_memory`; `retry_failed` requests it again. The job requests this plus `body_memory_mb` and its own "
        "memory.",
    )
    timeout: float = Field(20.0, gt=0, description="Seconds without data after which a connection is closed.")
    total_timeout: float = Field(120.0, gt=0, description="Maximum seconds for one image file.")
    wait: float = Field(
        5.0, ge=0, description="Seconds before the first retry pass. The wait doubles with each further pass."
    )
    max_wait: float = Field(
        60.0,
        ge=0,
        description="Maximum seconds to respect a host's Retry-After, counted from its last good response. After "
        "that, its images move to a later pass; after the last pass they are `deferred`.",
    )
    patience: float = Field(
        30.0,
        ge=0,
        description="Seconds to wait when only slow hosts are left; their images move to a later pass.",
    )
    close_after: datetime | None = Field(
        None,
        description="Time after which nothing is requested (ISO 8601, UTC by default). The remaining "
        "images are `deferred`.",
    )

    @model_validator(mode="before")
    @classmethod
    def _refuse_allow_hosts(cls, values: Any) -> Any:
        if isinstance(values, dict) and "allow_hosts" in values:
            raise ValueError("allow_hosts is not a limit; move it to download.allow_hosts (and replay.download)")
        return values

    def memory_mb(self, max_bytes: int) -> int:
        """Memory that a job needs for files of up to `max_bytes` bytes, MiB. No mixture of images needs more."""
        bodies = GROWING_BODY * (self.body_memory_mb + max_bytes / 2**20)
        return PROCESS_MB + math.ceil(bodies) + self.image_memory_mb

    def of_host(self, host: str) -> HostLimits:
        """Limits for a host: from the config, else published by the host, else the default."""
        own, published = find_host(self.hosts, host), find_host(PUBLISHED_LIMITS, host)
        if own is None or published is None:
            return own or published or self.default_host
        # Published limits that the config does not set still apply.
        return published.model_copy(update={name: getattr(own, name) for name in own.model_fields_set})


def find_host(hosts: dict[str, T], host: str) -> T | None:
    """The entry for `host` (`name` or `name:port`) in any case: first by name and port, then by name alone."""
    host, entries = host.lower(), {name.lower(): entry for name, entry in hosts.items()}
    return entries.get(host, entries.get(host.rpartition(":")[0] or host))
