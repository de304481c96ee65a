"""Downloading images."""

import math
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from pydantic import Field, field_validator, model_validator

from workflow_scripts.common.config.base import Section

T = TypeVar("T")

# Settings that make another picture of the same body.
PICTURE = ("min_size", "max_size", "jpeg_quality")
# Settings that decide what is taken: another value asks only for what the earlier one refused.
DECIDING = ("allow_hosts", "content_types", "max_bytes", "max_pixels", "check_certificates", "passes")


class Rewrite(Section):
    """A smaller rendition that a host offers: its address made from the catalogue's."""

    pattern: str = Field(description="Regular expression that is searched in the URL.")
    replacement: str = Field(description="What stands in its place (`\\1` is the first group).")

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"{value!r} is no regular expression: {error}") from None
        return value


class HostSettings(Section):
    """What is taken from one host, if not as from the rest. A change asks again for what it refused or rewrites."""

    content_types: list[str] | None = Field(None, description="Content types that are taken.")
    max_bytes: int | None = Field(None, ge=1, description="Bodies are read up to this many bytes.")
    max_pixels: int | None = Field(None, ge=1, description="Images of more pixels are refused undecoded.")
    check_certificates: bool = Field(
        True,
        description="Whether its TLS certificate is checked. Manifest and report mark images that come without.",
    )
    rewrite: Rewrite | None = Field(
        None, description="A smaller rendition, asked for first; the catalogue's URL follows where it is not found."
    )


class OfHost(NamedTuple):
    """What is taken from one host: its own settings, and those of all hosts where it has none."""

    content_types: list[str]
    max_bytes: int
    max_pixels: int
    check_certificates: bool
    rewrite: Rewrite | None


class DownloadSettings(Section):
    """What is kept of an image. Sizes and quality download again; other changes ask again for what they refused."""

    min_size: int = Field(224, ge=0, description="Images whose shorter side is below this are refused, pixels.")
    max_size: int = Field(720, ge=1, description="Images are scaled so that the longer side is at most this, pixels.")
    jpeg_quality: int = Field(95, ge=1, le=100, description="JPEG quality of what is kept.")
    max_pixels: int = Field(
        100_000_000,
        ge=1,
        description="Images whose header claims more pixels are refused undecoded. "
        "`limits.download.image_memory_mb` must have room for one: 4 bytes a pixel.",
    )
    max_bytes: int = Field(50_000_000, ge=1, description="Bodies are read up to this many bytes.")
    content_types: list[str] = Field(
        default=["image/*", "application/octet-stream", "binary/octet-stream"],
        description="Content types that are taken; a host that names none is believed. `image/*` is any image.",
    )
    respect_robots: bool = Field(
        True,
        description="Whether images that X-Robots-Tag forbids (noai, noimageai, noindex, noimageindex) are left. "
        "Turning it on downloads again.",
    )
    images_per_tar: int = Field(1000, ge=1, description="Images a tar: what is fetched again after a kill, at most.")
    passes: int = Field(3, ge=1, le=10, description="How often transient failures are tried, the first time included.")
    allow_hosts: list[str] = Field(
        default_factory=list,
        description="Loopback or private addresses (CIDR or host) that may be asked all the same. Others never are.",
    )
    hosts: dict[str, HostSettings] = Field(
        default_factory=dict, description="By host (`name` or `name:port`): what is taken from it."
    )

    @model_validator(mode="after")
    def _sizes_leave_something(self) -> "DownloadSettings":
        if self.min_size > self.max_size:
            raise ValueError(f"min_size: {self.min_size} is above max_size, {self.max_size}")
        return self

    def of_host(self, host: str) -> OfHost:
        """What is taken from a host."""
        own = find_host(self.hosts, host) or HostSettings()
        return OfHost(
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
        """The longest body that is taken from any host."""
        return max([self.max_bytes, *(own.max_bytes or 0 for own in self.hosts.values())])

    @property
    def most_pixels(self) -> int:
        """The largest image that is taken from any host."""
        return max([self.max_pixels, *(own.max_pixels or 0 for own in self.hosts.values())])

    def decides(self, name: str, host: str) -> Any:
        """The value of one of `DECIDING` as it holds for a host."""
        return getattr(self.of_host(host), name) if name in OfHost._fields else getattr(self, name)


def keeps_images(keys: Iterable[str]) -> bool:
    """Whether a change of these settings (`max_bytes`, `hosts.a.example.max_bytes`) fetches no image again."""
    return all(key.rpartition(".")[2] in DECIDING for key in keys)


class HostLimits(Section):
    """Limits for one host, over all jobs of a run together."""

    connections: int = Field(2, ge=1, le=10_000, description="Connections at once.")
    rate: float = Field(4.0, gt=0, le=100_000, description="Requests a second.")
    gb_per_hour: float | None = Field(
        None, gt=0, le=1_000_000, description="GB (10^9 bytes) of images in any hour. Default: no limit."
    )
    gb_per_day: float | None = Field(
        None, gt=0, le=1_000_000, description="GB of images in any 24 hours. Default: no limit."
    )
    contact: str | None = Field(None, description="Contact in the user agent, where it is not the site's.")


# https://www.inaturalist.org/pages/api+recommended+practices: one request a second, 5 GB of media an hour and 24 GB a
# day; whoever takes more is banned for good.
INATURALIST = HostLimits(connections=1, rate=1.0, gb_per_hour=5, gb_per_day=24)
PUBLISHED_LIMITS = dict.fromkeys(("static.inaturalist.org", "api.inaturalist.org", "www.inaturalist.org"), INATURALIST)
"""What hosts permit by their own published word, where that is less than the default."""


# Of a download process beside bodies and images, MiB: the interpreter with its libraries, 16 threads, and DuckDB.
PROCESS_MB = 600
# A body that is being read takes up to an eighth more than it has.
GROWING_BODY = 1.125


class DownloadLimits(Section):
    """Limits of requests and memory. They never change the images, so changing them downloads nothing again."""

    threads: int = Field(16, ge=1, description="Connections at once a job.")
    default_host: HostLimits = Field(default_factory=HostLimits, description="The policy of hosts not named below.")
    hosts: dict[str, HostLimits] = Field(
        default_factory=dict,
        description="By host (`name` or `name:port`): its policy. Over as many parts as its connections a host's "
        "images may be spread; what was planned once stays, and a lowered policy is kept all the same.",
    )
    stop_after: int = Field(
        20, ge=2, description="A host that refuses nearly all of this many requests is left alone until the next pass."
    )
    body_memory_mb: int = Field(128, ge=1, description="Bodies held in memory at once a job, MiB, and one more body.")
    image_memory_mb: int = Field(
        1200,
        ge=64,
        description="Memory for images while they are decoded, MiB. An image that alone needs more is `deferred` as "
        "`needs_memory`; `retry_failed` asks for it again. The job asks for this, the bodies and its own memory.",
    )
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
    patience: float = Field(
        30.0,
        ge=0,
        description="Seconds to wait when only slow hosts are left; their images move to a later pass.",
    )
    close_after: datetime | None = Field(
        None,
        description="A time (ISO 8601, UTC unless it says otherwise) after which nothing more is asked for: the "
        "rest is `deferred`.",
    )

    @model_validator(mode="before")
    @classmethod
    def _allow_hosts_has_moved(cls, values: Any) -> Any:
        if isinstance(values, dict) and "allow_hosts" in values:
            raise ValueError("allow_hosts decides what is taken: move it to download.allow_hosts (replay.download)")
        return values

    def memory_mb(self, max_bytes: int) -> int:
        """Memory that a job needs whose bodies have up to `max_bytes` bytes, MiB: no mixture of images takes more."""
        bodies = GROWING_BODY * (self.body_memory_mb + max_bytes / 2**20)
        return PROCESS_MB + math.ceil(bodies) + self.image_memory_mb

    def of_host(self, host: str) -> HostLimits:
        """A host's policy: what the config says of it, else what the host has published, else the default."""
        own, published = find_host(self.hosts, host), find_host(PUBLISHED_LIMITS, host)
        if own is None or published is None:
            return own or published or self.default_host
        # A limit that the config does not speak of still holds.
        return published.model_copy(update={name: getattr(own, name) for name in own.model_fields_set})


def find_host(hosts: dict[str, T], host: str) -> T | None:
    """What is said of `host` (`name` or `name:port`), by its whole name first."""
    return hosts.get(host.lower(), hosts.get(host.lower().rpartition(":")[0] or host.lower()))
