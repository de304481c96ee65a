"""Every body is looked at before it counts: bounds from the header, a full decode, then scaling and hashing."""

import io
import logging
import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from workflow_scripts.common import images
from workflow_scripts.common.config.download import DownloadSettings
from workflow_scripts.download.attempts import Attempt, Fault, Row
from workflow_scripts.download.memory import Memory, Room

logger = logging.getLogger(__name__)

# While an image is decoded, turned upright and converted, up to three copies of four bytes a pixel.
BYTES_A_PIXEL = 12

Verdict = tuple[bytes | None, int | None, int | None, int | None, int | None, str | None]


class Body(io.BytesIO):
    """A body on its way through img2dataset, with the attempt that brought it and the row that it is for."""

    def __init__(self, data: bytes, attempt: Attempt, row: Row, room: Room) -> None:
        super().__init__(data)
        self.attempt = attempt
        self.row = row
        self.verdict: Verdict | None = None
        self._room = room

    def keep_as_it_is(self, measures: Mapping[str, Any]) -> None:
        """Judge a JPEG that earlier work kept, whose measures are known."""
        attempt = self.attempt
        sizes = measures["width"], measures["height"], attempt.original_width, attempt.original_height
        self.verdict = (self.getvalue(), *sizes, None)

    def close(self) -> None:
        """img2dataset closes a body when it has done with it."""
        if not self.closed:
            self._room.give_back()
        super().close()


class Verifier:
    """Takes the place of img2dataset's resizer, with TreeOfLife-200M's settings.

    img2dataset's own ignores EXIF orientation and 16-bit samples, accepts cut-off JPEGs, decodes bombs, and closes
    the process's terminal while it works.

    Args:
        settings: what is kept of an image.
        memory: where decoded images find room.
    """

    def __init__(self, settings: DownloadSettings, memory: Memory) -> None:
        self._settings = settings
        self._memory = memory
        # A decoded image is large: as many at once as there are cores to work on them.
        self._turns = threading.BoundedSemaphore(len(os.sched_getaffinity(0)))

    def __call__(self, stream: Body, boxes: Any = None) -> Verdict:
        """JPEG, width, height, original width, original height, error: img2dataset's resizer's answer."""
        assert stream.verdict is not None
        return stream.verdict

    def look_at(self, bodies: Sequence[Body]) -> None:
        """Judge the bodies of one image, which is decoded once for all its crops; called in many threads."""
        with self._turns, self._memory.begin() as room:
            frame: images.RgbImage | None = None
            for body in bodies:
                attempt = body.attempt
                try:
                    if frame is None:
                        frame = self._decoded(body, room)
                    attempt.original_height, attempt.original_width = frame.shape[:2]
                    body.verdict = self._kept(frame, body.row, attempt)
                except Exception as error:
                    # img2dataset would lose the row, and the shard with it.
                    if not isinstance(error, Fault):
                        logger.exception("%s: unforeseen", attempt.uuid)
                        error = Fault("other", f"{type(error).__name__}: {error}")
                    attempt.fail(error)
                    body.verdict = None, None, None, None, None, attempt.error

    def _decoded(self, body: Body, room: Room) -> images.RgbImage:
        settings, attempt, data = self._settings, body.attempt, body.getvalue()
        max_pixels = settings.of_host(body.row.host).max_pixels
        if not data:
            raise Fault("not_an_image", "no bytes", transient=attempt.open_ended)
        try:
            width, height = images.read_size(data, max_pixels)
            attempt.original_width, attempt.original_height = width, height
            if min(width, height) < settings.min_size:
                raise Fault("too_small", f"{width} x {height} pixels", status="refused")
            room.grow(width * height * BYTES_A_PIXEL)
            return images.decode(data, max_pixels)
        except images.UnreadableImage as error:
            if error.fault == "too_large":
                raise Fault(error.fault, error.detail, status="refused") from None
            raise Fault(error.fault, error.detail, transient=attempt.open_ended) from None

    def _kept(self, frame: images.RgbImage, row: Row, attempt: Attempt) -> Verdict:
        wanted = frame if row.crop is None else _cropped(frame, *row.crop)
        attempt.pdq = images.pdq(wanted)
        kept = images.scale_down(wanted, self._settings.max_size)
        jpeg = images.encode_jpeg(kept, self._settings.jpeg_quality)
        return jpeg, kept.shape[1], kept.shape[0], attempt.original_width, attempt.original_height, None


def _cropped(image: images.RgbImage, x: int, y: int, width: int, height: int) -> images.RgbImage:
    """What lies within the image of a box in pixels of the original.

    Raises:
        Fault: nothing does.
    """
    inside = image[max(y, 0) : max(y + height, 0), max(x, 0) : max(x + width, 0)]
    if inside.size == 0:
        raise Fault(
            "bad_crop",
            f"{width} x {height} at {x}, {y} of {image.shape[1]} x {image.shape[0]} pixels",
            status="refused",
        )
    return np.ascontiguousarray(inside)
