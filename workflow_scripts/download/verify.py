"""Every body is looked at before it counts: bounds from the header, a full decode, then scaling and hashing."""

import io
import logging
from typing import Any

import numpy as np

from workflow_scripts.common import images
from workflow_scripts.common.config.download import DownloadSettings
from workflow_scripts.download.attempts import Attempt, Fault, Row
from workflow_scripts.download.body_memory import Room

logger = logging.getLogger(__name__)


class Body(io.BytesIO):
    """A body on its way through img2dataset, with the attempt that brought it and the row that it is for."""

    def __init__(self, data: bytes, attempt: Attempt, row: Row, room: Room) -> None:
        super().__init__(data)
        self.attempt = attempt
        self.row = row
        self._room = room

    def close(self) -> None:
        """img2dataset closes a body when it has done with it."""
        if not self.closed:
            self._room.give_back()
        super().close()


class Verifier:
    """Takes the place of img2dataset's resizer, with TreeOfLife-200M's settings.

    img2dataset's own ignores EXIF orientation and 16-bit samples, accepts cut-off JPEGs, decodes bombs, and closes
    the process's terminal while it works.
    """

    def __init__(self, settings: DownloadSettings) -> None:
        self._settings = settings
        # Crops of one image come one after the other: it is decoded once for all of them.
        self._frame: tuple[str, images.RgbImage] | None = None

    def __call__(self, stream: Body, boxes: Any = None) -> tuple[Any, ...]:
        """JPEG, width, height, original width, original height, error; img2dataset's resizer's answer.

        One image is decoded at a time, so a job's memory holds one image of `max_pixels`.
        """
        attempt = stream.attempt
        try:
            jpeg, width, height = self._verified(stream.getvalue(), stream.row, attempt)
        except Exception as error:
            # img2dataset would lose the row, and the shard with it.
            if not isinstance(error, Fault):
                logger.exception("%s: unforeseen", attempt.uuid)
            attempt.fail(error if isinstance(error, Fault) else Fault("other", f"{type(error).__name__}: {error}"))
            return None, None, None, None, None, attempt.error
        return jpeg, width, height, attempt.original_width, attempt.original_height, None

    def _verified(self, data: bytes, row: Row, attempt: Attempt) -> tuple[bytes, int, int]:
        settings = self._settings
        if not data:
            raise Fault("not_an_image", "no bytes")
        try:
            width, height = images.read_size(data, settings.max_pixels)
            attempt.original_width, attempt.original_height = width, height
            if min(width, height) < settings.min_size:
                raise Fault("too_small", f"{width} x {height} pixels", status="refused")
            original = self._decoded(data, row)
        except images.UnreadableImage as error:
            status = "refused" if error.fault == "too_large" else "failed"
            raise Fault(error.fault, error.detail, status=status) from None
        wanted = original if row.crop is None else _cropped(original, *row.crop)
        attempt.pdq = images.pdq(wanted)
        kept = images.scale_down(wanted, settings.max_size)
        return images.encode_jpeg(kept, settings.jpeg_quality), kept.shape[1], kept.shape[0]

    def _decoded(self, data: bytes, row: Row) -> images.RgbImage:
        if self._frame is not None and row.crop is not None and self._frame[0] == row.url:
            return self._frame[1]
        self._frame = None
        decoded = images.decode(data, self._settings.max_pixels, to_srgb=True)
        if row.crop is not None:
            self._frame = row.url, decoded
        return decoded


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
