"""Open TIFF files of the kinds that Pillow reads correctly as photographs; refuse others.

Tags and their values are those of TIFF 6.0 and of Adobe's DNG specification.
"""

import io
from typing import Any

from PIL import ImagePalette, TiffImagePlugin

MAGIC = (b"II*\0", b"MM\0*")
(
    NEW_SUBFILE_TYPE, WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC, ORIENTATION, SAMPLES, ROWS_PER_STRIP, PLANAR,
    COLOURS, TILE_WIDTH, TILE_LENGTH, SUB_IFDS, SAMPLE_FORMAT, DNG_VERSION,
) = (254, 256, 257, 258, 259, 262, 274, 277, 278, 284, 320, 322, 323, 330, 339, 50706)  # fmt: skip
REDUCED = 1
WHITE_IS_ZERO, PALETTE, CFA, LINEAR_RAW = 0, 3, 32803, 34892
PHOTOMETRICS = {8: "CIELAB", 9: "ICCLab", 10: "ITULab", CFA: "raw sensor", LINEAR_RAW: "raw linear", 32844: "LogL",
                32845: "LogLuv"}  # fmt: skip
FORMATS = {2: "signed", 3: "floating-point", 4: "untyped", 5: "complex integer", 6: "complex floating-point"}

# Pillow's own reader of uncompressed data misreads 16-bit planes and subsampled colours; libtiff does not.
TiffImagePlugin.READ_LIBTIFF = True


class UnsupportedTiff(Exception):
    """An unsupported kind of TIFF, named by the message."""


class Tiff(TiffImagePlugin.TiffImageFile):
    """The first image of a TIFF, as stored: the orientation tag is not applied."""

    def _setup(self) -> None:
        _check(self.tag_v2)
        super()._setup()
        self._size = self._tile_size
        colours = self.tag_v2.get(COLOURS)
        # Palette colours have 16 bits, but some writers store 8-bit values, which libtiff reads as such.
        if self.mode in ("P", "PA") and colours and max(colours) < 256:
            self.palette = ImagePalette.raw("RGB;L", bytes(colours))

    def load_end(self) -> None:
        """Skip Pillow's method, which reads all other tags, even broken ones, and rotates the image in a copy."""

    @property
    def orientation(self) -> Any:
        """Value of the orientation tag, unchecked."""
        return self.tag_v2.get(ORIENTATION, 1)

    @property
    def depth(self) -> int:
        """Bits per sample."""
        return int(_first(self.tag_v2.get(BITS, 1)))

    @property
    def white_is_zero(self) -> bool:
        """Whether grey values are inverted; Pillow corrects this only for samples of up to 8 bits."""
        return self.depth > 8 and self.tag_v2.get(PHOTOMETRIC) == WHITE_IS_ZERO

    @property
    def block_bytes(self) -> int:
        """Bytes that libtiff unpacks at once, in a strip or a tile."""
        width, length = self._tile_size
        if TILE_WIDTH in self.tag_v2:
            width, length = int(self.tag_v2[TILE_WIDTH]), int(self.tag_v2.get(TILE_LENGTH, length))
        else:
            length = min(length, int(self.tag_v2.get(ROWS_PER_STRIP, length)))
        samples = int(self.tag_v2.get(SAMPLES, 1))
        # For YCbCr, libtiff converts colours itself and returns four bytes per pixel.
        return width * length * max(samples * self.depth // 8, 4)


def open_tiff(data: bytes) -> Tiff:
    """Open a TIFF without decoding it.

    Raises:
        UnsupportedTiff: the kind of TIFF is not supported.
        Exception: the file is broken.
    """
    try:
        return Tiff(io.BytesIO(data))
    except SyntaxError as error:
        if isinstance(error.__cause__ or error.__context__, KeyError) or "unknown" in str(error):
            raise UnsupportedTiff("TIFF of an unknown kind of samples") from None
        raise


def _check(tags: Any) -> None:
    photometric = tags.get(PHOTOMETRIC, 0)
    if DNG_VERSION in tags:
        raise UnsupportedTiff("DNG (raw photo)")
    if photometric in PHOTOMETRICS:
        raise UnsupportedTiff(f"{PHOTOMETRICS[photometric]} TIFF")
    if int(tags.get(NEW_SUBFILE_TYPE, 0)) & REDUCED and (SUB_IFDS in tags or tags.next):
        raise UnsupportedTiff("TIFF whose first picture is a thumbnail (raw photo)")
    form, bits = _first(tags.get(SAMPLE_FORMAT, 1)), _first(tags.get(BITS, 1))
    if form in FORMATS:
        raise UnsupportedTiff(f"{FORMATS[form]} TIFF")
    if bits > 16:
        raise UnsupportedTiff(f"TIFF of {bits} bits a sample")


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, tuple) else value
