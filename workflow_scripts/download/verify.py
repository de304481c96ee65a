"""Every body is looked at before it counts: bounds from the header, a full decode, then scaling and hashing."""

import io
import logging
from typing import Any

from workflow_scripts.common import images
from workflow_scripts.common.config.download import DownloadSettings
from workflow_scripts.download.attempts import Attempt, Fault

logger = logging.getLogger(__name__)


class Body(io.BytesIO):
    """A body on its way through img2dataset, with the attempt that brought it."""

    def __init__(self, data: bytes, attempt: Attempt) -> None:
        super().__init__(data)
        self.attempt = attempt


class Verifier:
    """Takes the place of img2dataset's resizer, with TreeOfLife-200M's settings.

    img2dataset's own ignores EXIF orientation and 16-bit samples, accepts cut-off JPEGs, decodes bombs, and closes
    the process's terminal while it works.
    """

    def __init__(self, settings: DownloadSettings) -> None:
        self._settings = settings

    def __call__(self, stream: Body, boxes: Any = None) -> tuple[Any, ...]:
        """JPEG, width, height, original width, original height, error; img2dataset's resizer's answer.

        One image is decoded at a time, so a job's memory holds one image of `max_pixels`.
        """
        attempt = stream.attempt
        try:
            jpeg, width, height = self._verified(stream.getvalue(), attempt)
        except Exception as error:
            # img2dataset would lose the row, and the shard with it.
            if not isinstance(error, Fault):
                logger.exception("%s: unforeseen", attempt.uuid)
            attempt.fail(error if isinstance(error, Fault) else Fault("other", f"{type(error).__name__}: {error}"))
            return None, None, None, None, None, attempt.error
        return jpeg, width, height, attempt.original_width, attempt.original_height, None

    def _verified(self, data: bytes, attempt: Attempt) -> tuple[bytes, int, int]:
        settings = self._settings
        if not data:
            raise Fault("not_an_image", "no bytes")
        try:
            width, height = images.read_size(data, settings.max_pixels)
            attempt.original_width, attempt.original_height = width, height
            if min(width, height) < settings.min_size:
                raise Fault("too_small", f"{width} x {height} pixels", status="refused")
            original = images.decode(data, settings.max_pixels)
        except images.UnreadableImage as error:
            status = "refused" if error.fault == "too_large" else "failed"
            raise Fault(error.fault, error.detail, status=status) from None
        attempt.pdq = images.pdq(original)
        kept = images.scale_down(original, settings.max_size)
        return images.encode_jpeg(kept, settings.jpeg_quality), kept.shape[1], kept.shape[0]
