"""An attempt to fetch an image, and its possible faults."""

import dataclasses
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from workflow_scripts.common.tars import read_at
from workflow_scripts.download.memory import Room

logger = logging.getLogger(__name__)

# Suffix of the file of kept images beside a pass's table.
IMAGES = ".jpegs"
JPEG_STARTS, JPEG_ENDS = b"\xff\xd8", b"\xff\xd9"


@dataclass(frozen=True)
class Earlier:
    """The result of earlier work for an image.

    Attributes:
        found: fields of `Attempt`.
        measures: md5, width and height, as in `contracts.DOWNLOADS`.
        file: the file with the kept JPEG, or None if the image was not kept.
        offset, size: the JPEG's location in the file, bytes.
    """

    found: dict[str, Any]
    measures: dict[str, Any]
    file: Path | None
    offset: int
    size: int

    def take(self, attempt: "Attempt") -> bytes:
        """Copy the result to `attempt` and return the kept JPEG.

        Raises:
            Fault: the image failed in the earlier work; or its JPEG is gone, and a later pass fetches it again.
        """
        if self.file is None:
            vars(attempt).update(self.found)
            reason, _, detail = (attempt.error or "other").partition(": ")
            raise Fault(reason, detail, status=attempt.status)
        try:
            with self.file.open("rb") as file:
                jpeg = read_at(file, self.offset, self.size)
        except (OSError, ValueError, EOFError) as error:
            jpeg = b""
            logger.warning("%s: %s", self.file, error)
        if not (len(jpeg) == self.size and jpeg.startswith(JPEG_STARTS) and jpeg.endswith(JPEG_ENDS)):
            raise Fault("other", f"no longer in {self.file}", status="deferred", transient=True)
        vars(attempt).update(self.found)
        return jpeg


@dataclass(frozen=True)
class Row:
    """An image to fetch.

    Attributes:
        uuid: the image's id.
        url: its URL, or an absolute path.
        host: the URL's host and port, or "" for a path.
        crop: x, y, width and height of the crop in pixels of the original; None for the complete image.
        earlier: the reused result of earlier work, if any; its host gets no request.
    """

    uuid: str
    url: str
    host: str
    crop: tuple[int, int, int, int] | None = None
    earlier: Earlier | None = None


class Fault(Exception):
    """The reason why an attempt returned no image.

    Attributes:
        reason: one of `contracts.DOWNLOAD_REASONS`.
        detail: details, or "".
        status: the image's status if no later attempt succeeds: `failed`, `refused` or `deferred`.
        transient: whether a later attempt may succeed.
    """

    def __init__(self, reason: str, detail: str = "", *, status: str = "failed", transient: bool = False) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
        self.status = status
        self.transient = transient

    def copy(self) -> "Fault":
        """The same fault without a traceback."""
        return Fault(self.reason, self.detail, status=self.status, transient=self.transient)


@dataclass
class Attempt:
    """The result of one pass for an image; a row of the pass's table.

    Attributes:
        uuid: the image's id.
        pass_number: number of the pass, from 1.
        requests: 1, or 0 if the image was not requested (for example, its host was stopped or too slow).
        seconds: from the request to the end of the body.
        status, error, http_status, final_url, retrieved_at, content_type, pdq, original_width, original_height,
            unverified: as in `contracts.DOWNLOADS`.
        transient: whether a later pass may succeed.
        open_ended: whether the response had no length, so that a truncated body looks like a broken image.
        refusals: id of the streak of refusals (403 and the like) of its host that includes this one, if any. A good
            answer ends a streak.
        image_offset, image_size: location of the kept image in the pass's file of images, bytes.
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
    unverified: bool = False
    refusals: str | None = None
    pdq: str | None = None
    original_width: int | None = None
    original_height: int | None = None
    image_offset: int | None = None
    image_size: int | None = None

    def begin(self) -> None:
        """Count a request and record its time."""
        self.requests += 1
        self.retrieved_at = datetime.now(UTC).isoformat(timespec="seconds")

    def fail(self, fault: Fault) -> None:
        """Record a fault."""
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
_ARROW = (
    dict.fromkeys(("transient", "open_ended", "unverified"), pa.bool_())
    | dict.fromkeys(_INTEGERS, pa.int64())
    | {"seconds": pa.float64()}
)
ATTEMPT_FIELDS = [pa.field(field.name, _ARROW.get(field.name, pa.string())) for field in dataclasses.fields(Attempt)]

# Returns a row's body or raises `Fault`.
Fetch = Callable[[Row, Attempt, Room], bytes]
