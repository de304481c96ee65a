"""One attempt at one image, and what can go wrong with it."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa

from workflow_scripts.download.memory import Room

# Of the file of kept images beside a pass's table.
IMAGES = ".jpegs"


@dataclass(frozen=True)
class Row:
    """An image to fetch.

    Attributes:
        uuid: its identity.
        url: its address, or an absolute path.
        host: the address's host and port, or "" for a path.
        crop: x, y, width and height of what is kept of it, in pixels of the original; None for all of it.
    """

    uuid: str
    url: str
    host: str
    crop: tuple[int, int, int, int] | None = None


class Fault(Exception):
    """Why an attempt gave no image.

    Attributes:
        reason: one of `contracts.DOWNLOAD_REASONS`.
        detail: what exactly, or "".
        status: the image's status if no later attempt succeeds: `failed`, `refused` or `deferred`.
        transient: whether a later attempt may succeed.
    """

    def __init__(self, reason: str, detail: str = "", *, status: str = "failed", transient: bool = False) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.status = status
        self.transient = transient


@dataclass
class Attempt:
    """What one pass found out about an image; a row of the pass's table.

    Attributes:
        uuid: the image's.
        pass_number: which pass, from 1.
        requests: 1, or 0 when its host was not asked because it wants to be left alone, or is slow.
        seconds: from the request to the end of the body.
        status, error, http_status, final_url, retrieved_at, content_type, pdq, original_width, original_height: as
            in `contracts.DOWNLOADS`.
        transient: whether another pass may do better.
        open_ended: whether the host did not say how long the body is, so that a cut one looks like a broken image.
        image_offset, image_size: where the kept image lies in the pass's file of images.
    """

    uuid: str
    pass_number: int
    requests: int = 0
    seconds: float | None = None
    status: str = "ok"
    error: str | None = None
    transient: bool = False
    http_status: int | None = None
    final_url: str | None = None
    retrieved_at: str | None = None
    content_type: str | None = None
    open_ended: bool = False
    pdq: str | None = None
    original_width: int | None = None
    original_height: int | None = None
    image_offset: int | None = None
    image_size: int | None = None

    def begin(self) -> None:
        """Count a request and note its time."""
        self.requests += 1
        self.retrieved_at = datetime.now(UTC).isoformat(timespec="seconds")

    def fail(self, fault: Fault) -> None:
        """Note why there is no image."""
        self.status, self.error, self.transient = fault.status, str(fault), fault.transient


_INTEGERS = (
    "pass_number",
    "requests",
    "http_status",
    "original_width",
    "original_height",
    "image_offset",
    "image_size",
)
_ARROW = {"transient": pa.bool_(), "open_ended": pa.bool_(), "seconds": pa.float64()} | dict.fromkeys(
    _INTEGERS, pa.int64()
)
ATTEMPT_FIELDS = [pa.field(field.name, _ARROW.get(field.name, pa.string())) for field in dataclasses.fields(Attempt)]

# Gives a row's body or raises `Fault`.
Fetch = Callable[[Row, Attempt, Room], bytes]
