"""Verify every body: check the bounds in its header, decode it completely, then scale and hash it."""

import io
import logging
import math
import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from workflow_scripts.common import images
from workflow_scripts.common.config.download import DownloadSettings
from workflow_scripts.download.attempts import Attempt, Fault, Row
from workflow_scripts.download.memory import DecodingMemory, Room

logger = logging.getLogger(__name__)

Verdict = tuple[bytes | None, int | None, int | None, int | None, int | None, str | None]


class Body(io.BytesIO):
    """A body that passes through img2dataset, with its attempt and row."""

    def __init__(self, data: bytes, attempt: Attempt, row: Row, room: Room) -> None:
        super().__init__(data)
        self.attempt = attempt
        self.row = row
        self.verdict: Verdict | None = None
        self._room = room

    def accept(self, measures: Mapping[str, Any]) -> None:
        """Accept a JPEG kept by earlier work, with its known measures."""
        attempt = self.attempt
        sizes = measures["width"], measures["height"], attempt.original_width, attempt.original_height
        self.verdict = (self.getvalue(), *sizes, None)

    def close(self) -> None:
        """Give back the body's memory. img2dataset calls this when it is done with the body."""
        if not self.closed:
            self._room.give_back()
        super().close()


class Verifier:
    """Replaces img2dataset's resizer, with TreeOfLife-200M's settings.

    img2dataset's own ignores EXIF orientation and 16-bit samples, accepts truncated JPEGs, decodes decompression bombs,
    and silences the process's output while it works.

    Args:
        settings: sizes and checks of images.
        memory: limits the memory of images while they are decoded.
    """

    def __init__(self, settings: DownloadSettings, memory: DecodingMemory) -> None:
        self._settings = settings
        self._memory = memory
        # Decoded images are large, so no more at once than there are cores.
        self._turns = threading.BoundedSemaphore(len(os.sched_getaffinity(0)))

    def __call__(self, stream: Body, boxes: Any = None) -> Verdict:
        """The result in img2dataset's format: JPEG, width, height, original width, original height, error."""
        assert stream.verdict is not None
        return stream.verdict

    def check(self, bodies: Sequence[Body]) -> None:
        """Check the bodies of one image, which is decoded once for all its crops. Called by many threads."""
        with self._turns:
            try:
                self._check(bodies)
            except Exception as error:
                for body in bodies:
                    _fail(body, error)

    def _check(self, bodies: Sequence[Body]) -> None:
        first = bodies[0]
        photo = self._open(first)
        # Crops are cut out at full resolution.
        has_crop = any(body.row.crop is not None for body in bodies)
        at_least = 0 if has_crop else max(self._settings.max_size, images.HASHED_AT)
        kept = min(math.prod(photo.size), self._settings.max_size**2)
        needed = photo.bytes_needed(at_least) + 3 * (has_crop * math.prod(photo.size) + 2 * kept)
        if needed > self._memory.limit:
            width, height = photo.size
            detail = f"{needed >> 20} MiB for {width} x {height} pixels; limits.download.image_memory_mb"
            raise Fault("needs_memory", f"{detail} is {self._memory.limit >> 20}", status="deferred")
        with self._memory.hold(needed):
            try:
                frame = photo.decode(at_least)
            except images.UnreadableImage as error:
                raise _fault(error, first.attempt) from None
            for body in bodies:
                try:
                    body.attempt.original_width, body.attempt.original_height = photo.size
                    body.verdict = self._encode(frame, body.row, body.attempt)
                except Exception as error:
                    _fail(body, error)

    def _open(self, body: Body) -> images.Photo:
        attempt, data = body.attempt, body.getvalue()
        if not data:
            raise Fault("not_an_image", "no bytes", transient=attempt.open_ended)
        try:
            photo = images.open_photo(data, self._settings.of_host(body.row.host).max_pixels)
        except images.UnreadableImage as error:
            raise _fault(error, attempt) from None
        width, height = photo.size
        attempt.original_width, attempt.original_height = width, height
        if min(width, height) < self._settings.min_size:
            raise Fault("too_small", f"{width} x {height} pixels", status="refused")
        return photo

    def _encode(self, frame: images.RgbImage, row: Row, attempt: Attempt) -> Verdict:
        image = frame if row.crop is None else _crop(frame, *row.crop)
        attempt.pdq = images.pdq(image)
        kept = images.scale_down(image, self._settings.max_size)
        jpeg = images.encode_jpeg(kept, self._settings.jpeg_quality)
        return jpeg, kept.shape[1], kept.shape[0], attempt.original_width, attempt.original_height, None


def _fault(error: images.UnreadableImage, attempt: Attempt) -> Fault:
    if error.fault == "too_large":
        return Fault(error.fault, error.detail, status="refused")
    return Fault(error.fault, error.detail, transient=attempt.open_ended)


def _fail(body: Body, error: Exception) -> None:
    """Record an error. An exception in img2dataset would lose the row, and with it the shard."""
    if not isinstance(error, Fault):
        logger.exception("%s: unexpected error", body.attempt.uuid, exc_info=error)
        error = Fault("other", f"{type(error).__name__}: {error}")
    body.attempt.fail(error)
    body.verdict = None, None, None, None, None, body.attempt.error


def _crop(image: images.RgbImage, x: int, y: int, width: int, height: int) -> images.RgbImage:
    """The part of a box, in pixels of the original, that is inside the image.

    Raises:
        Fault: the box is outside the image.
    """
    inside = images.cut_out(image, x, y, width, height)
    if inside.size == 0:
        raise Fault(
            "bad_crop",
            f"{width} x {height} at {x}, {y} of {image.shape[1]} x {image.shape[0]} pixels",
            status="refused",
        )
    return inside
