"""Decode untrusted images within bounds; scale, encode and hash them. Arrays are (height, width, 3), uint8, RGB.

One decoder is used everywhere: downloads, shards, training, prediction. An image is held in memory once as stored and
converted in strips, each written to its place in the upright image.
"""

import io
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import AvifImagePlugin, BmpImagePlugin, ExifTags, Image, Jpeg2KImagePlugin, PngImagePlugin

from workflow_scripts.common import colours, jpeg
from workflow_scripts.common.image_kinds import MIME, kind_of
from workflow_scripts.common.image_memory import WORKING_BYTES
from workflow_scripts.common.pdq import SIDE, pdq_hash
from workflow_scripts.common.tiff import MAGIC as TIFF_MAGIC
from workflow_scripts.common.tiff import Tiff, UnsupportedTiff, open_tiff

RgbImage = NDArray[np.uint8]

# Formats of photographs. Others (EPS, PSD, FITS, ...) would only enlarge the attack surface.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "JPEG2000", "AVIF")
# HTTP Accept header: supported formats, JPEG first, then any image.
ACCEPT = ", ".join(
    ["image/jpeg"]
    + [f"image/{name};q=0.8" for name in ("png", "webp", "tiff", "jp2", "bmp", "gif")]
    + ["image/avif;q=0.5", "image/*;q=0.1"]
)
MAX_PIXELS = 100_000_000
WHITE = (255, 255, 255)
PNG_START = b"\x89PNG\r\n\x1a\n"
# Stored bytes per strip.
STRIP_BYTES = 4_000_000
# The upright image as a view of the stored one, by EXIF orientation (CIPA DC-008, 4.6.5.1.6).
UPRIGHT: dict[int, Callable[[Any], Any]] = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: stored.swapaxes(0, 1)[:, ::-1],
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    8: lambda stored: stored.swapaxes(0, 1)[::-1],
}
# Inverses of the orientations that are not their own inverse.
INVERSE = {6: 8, 8: 6}
# Memory of a loaded Pillow image, bytes per pixel.
STORED_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16L": 2, "I;16B": 2}
# Further memory of a format's codec while decoding, bytes per pixel, as measured.
CODEC_BYTES = {"WEBP": 13, "AVIF": 17, "JPEG2000": 20}
# The same for run-length bitmaps, which Pillow unpacks in Python: a growing array and its copy.
RUN_LENGTH_BYTES = 3
RUN_LENGTHS = {BmpImagePlugin.BmpImageFile.COMPRESSIONS[name] for name in ("RLE8", "RLE4")}
# Formats whose reader copies the encoded bytes.
COPIED = ("WEBP", "AVIF")
# Perceptual hashes are computed at this shorter side or more, unless the image is smaller, so that they are comparable.
HASHED_AT = 720

# Register all formats; Pillow otherwise registers some only after others have failed.
Image.init()
# Steps process several images or jobs at once, so libraries use one thread each.
cv2.setNumThreads(1)
AvifImagePlugin.DEFAULT_MAX_THREADS = 1
# Sizes are checked before decoding; Pillow's own limit is below the size of a herbarium sheet.
Image.MAX_IMAGE_PIXELS = None
# Editors store megabytes of history as text in a PNG; Pillow's own limit, 1 MiB, would lose the image.
PngImagePlugin.MAX_TEXT_CHUNK = 8_000_000
# Pillow's warnings about broken tags would go to the terminal.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

Fault = Literal["not_an_image", "unsupported", "truncated", "too_large"]


class UnreadableImage(ValueError):
    """Bytes that cannot be decoded.

    Attributes:
        fault: `not_an_image`, `unsupported` (an unsupported image format), `too_large` (the header declares too many
            pixels), or `truncated` (a valid header, but incomplete or broken data).
        detail: the details; for the first two, what the bytes are.
    """

    def __init__(self, fault: Fault, detail: str) -> None:
        super().__init__(f"{fault}: {detail}")
        self.fault = fault
        self.detail = detail


class ImageSize(NamedTuple):
    """Size in pixels, as shown (EXIF orientation applied)."""

    width: int
    height: int


class Photo(ABC):
    """An image whose header has been read.

    Attributes:
        stored: size as stored.
        orientation: EXIF orientation, 1 to 8.
    """

    stored: ImageSize
    orientation: int

    @property
    def size(self) -> ImageSize:
        """Size of the upright image."""
        width, height = self.stored
        return ImageSize(height, width) if self.orientation >= 5 else self.stored

    def decode(self, at_least: int = 0) -> RgbImage:
        """Decode the image; see the function `decode`.

        Raises:
            UnreadableImage: the data is incomplete, broken or unsupported.
        """
        try:
            return self._decode(at_least)
        except UnreadableImage:
            raise
        except Exception as error:
            raise UnreadableImage("truncated", _one_line(error)) from None

    @abstractmethod
    def bytes_needed(self, at_least: int = 0) -> int:
        """Peak memory of decoding, including the result, bytes."""

    @abstractmethod
    def _decode(self, at_least: int) -> RgbImage: ...


def open_photo(data: bytes, max_pixels: int = MAX_PIXELS) -> Photo:
    """Read an image's header without decoding the image.

    Raises:
        UnreadableImage: the data is not an image, is unsupported, or has more than `max_pixels` pixels.
    """
    try:
        photo: Photo = _Jpeg(data) if data.startswith(jpeg.START) else _PillowPhoto(data)
    except UnreadableImage:
        raise
    except UnsupportedTiff as error:
        raise UnreadableImage("unsupported", str(error)) from None
    except jpeg.NotJpeg as error:
        raise UnreadableImage("truncated", f"JPEG: {error}") from None
    except Exception as error:
        # Parsers may raise any exception on hostile headers.
        raise UnreadableImage("not_an_image", _one_line(error)) from None
    width, height = photo.stored
    if width * height > max_pixels:
        raise UnreadableImage("too_large", f"{width} x {height} pixels")
    return photo


def read_size(data: bytes, max_pixels: int = MAX_PIXELS) -> ImageSize:
    """Read the size of the upright image from the header.

    Raises:
        UnreadableImage: as for `open_photo`.
    """
    return open_photo(data, max_pixels).size


def decode(data: bytes, max_pixels: int = MAX_PIXELS, at_least: int = 0) -> RgbImage:
    """Decode to upright RGB in sRGB.

    With `at_least`, the image may be reduced as long as its shorter side keeps that many pixels. For a JPEG, libjpeg
    then skips higher frequencies, which saves time and memory; other formats are reduced by averaging.

    EXIF orientation is applied. An embedded colour profile is converted if it is readable and matches the mode. CMYK
    and grey become RGB. Samples keep their upper 8 bits. Palettes and alpha are composed on white, as in img2dataset.
    Animations give their first frame.

    Raises:
        UnreadableImage: not an image, unsupported, more than `max_pixels` pixels, or incomplete or broken data.
    """
    return open_photo(data, max_pixels).decode(at_least)


def decode_plain(data: bytes, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode like `Image.open(file).convert("RGB")` in published evaluation code, but with a limit on the size.

    EXIF orientation and colour profiles are ignored.

    Raises:
        UnreadableImage: not an image, more than `max_pixels` pixels, or incomplete or broken data.
    """
    with _opened(data) as image:
        if image.width * image.height > max_pixels:
            raise UnreadableImage("too_large", f"{image.width} x {image.height} pixels")
        try:
            return image.convert("RGB")
        except Exception as error:
            raise UnreadableImage("truncated", _one_line(error)) from None


def cut_out(image: RgbImage, x: int, y: int, width: int, height: int) -> RgbImage:
    """The part of a box (pixels) that lies within the image; may be empty."""
    return np.ascontiguousarray(image[max(y, 0) : max(y + height, 0), max(x, 0) : max(x + width, 0)])


def scale_down(image: RgbImage, longer_side: int) -> RgbImage:
    """Scale down to the given longer side, keeping the aspect ratio; smaller images are unchanged.

    Same as img2dataset's `keep_ratio_largest` with `resize_only_if_bigger`, which was used for TreeOfLife-200M.
    """
    height, width = image.shape[:2]
    if max(height, width) <= longer_side:
        return image
    scale = longer_side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def to_square(image: RgbImage, side: int, how: Literal["squash", "crop"]) -> RgbImage:
    """Resize to a square of `side` pixels, by squashing the image or by first cropping the largest central square."""
    if how == "crop":
        height, width = image.shape[:2]
        shorter = min(height, width)
        top, left = (height - shorter) // 2, (width - shorter) // 2
        image = image[top : top + shorter, left : left + shorter]
    height, width = image.shape[:2]
    if (height, width) == (side, side):
        return image
    interpolation = cv2.INTER_AREA if min(height, width) >= side else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (side, side), interpolation=interpolation), np.uint8)


def encode_jpeg(image: RgbImage, quality: int) -> bytes:
    """Encode as JPEG with 4:2:0 chroma subsampling; the same pixels give the same bytes."""
    return bytes(
        simplejpeg.encode_jpeg(
            np.ascontiguousarray(image), quality=quality, colorspace="RGB", colorsubsampling="420", fastdct=False
        )
    )


def pdq(image: RgbImage) -> str | None:
    """PDQ perceptual hash (64 hex digits) of the image resized to 512x512; None for an image without features.

    Without the resize, half-size copies would not match. Images without features would match each other.
    """
    square = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return pdq_hash(np.asarray(square, np.uint8))


class _Jpeg(Photo):
    """A JPEG, decoded by libjpeg directly to RGB at a reduced scale."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._header = header = jpeg.read_header(data)
        self.stored = ImageSize(header.width, header.height)
        self.orientation = _orientation_of(header.exif) if header.exif else 1
        if header.coding in jpeg.UNSUPPORTED:
            raise UnreadableImage("unsupported", jpeg.UNSUPPORTED[header.coding])
        if header.bits != 8:
            raise UnreadableImage("unsupported", f"JPEG of {header.bits} bits a sample")
        if not (header.width and header.height and header.components in (1, 3, 4)):
            raise UnreadableImage("not_an_image", "JPEG without a size or with an odd number of colours")

    def bytes_needed(self, at_least: int = 0) -> int:
        width, height = self.stored
        scale = self._pillow_scale(at_least)
        # Four bytes in Pillow or as CMYK, and three in the result.
        pixels = 7 * -(-width // scale) * -(-height // scale)
        return WORKING_BYTES + pixels + round(self._header.coefficient_bytes * width * height)

    def _decode(self, at_least: int) -> RgbImage:
        mode = {1: "L", 3: "RGB", 4: "CMYK"}[self._header.components]
        transform = colours.to_srgb(self._header.profile, mode) if self._header.profile else None
        if mode == "L" and transform is None:
            mode = "RGB"
        try:
            pixels = simplejpeg.decode_jpeg(
                self._data,
                colorspace={"L": "GRAY"}.get(mode, mode),
                fastdct=False,
                fastupsample=False,
                min_height=at_least,
                min_width=at_least,
                strict=True,
            )
        except ValueError:
            # Pillow tolerates minor flaws, such as extra bytes before a marker.
            return self._by_pillow(at_least, transform)
        if mode == "RGB" and transform is None:
            return np.ascontiguousarray(UPRIGHT[self.orientation](pixels))
        if mode == "CMYK" and self._header.inverted:
            np.invert(pixels, out=pixels)
        height, width = pixels.shape[:2]

        def strip(top: int, bottom: int) -> Image.Image:
            return Image.fromarray(pixels[top:bottom] if mode != "L" else pixels[top:bottom, :, 0], mode)

        return _assembled(ImageSize(width, height), strip, self.orientation, lambda some: _to_rgb(some, transform))

    def _by_pillow(self, at_least: int, transform: colours.Transform | None) -> RgbImage:
        image = _opened(self._data)
        scale = self._pillow_scale(at_least)
        image.draft(image.mode, (-(-self.stored.width // scale), -(-self.stored.height // scale)))
        image.load()
        return _assembled(
            ImageSize(*image.size), _strips_of(image), self.orientation, lambda some: _to_rgb(some, transform)
        )

    def _pillow_scale(self, at_least: int) -> int:
        """The power of two by which Pillow reduces the image."""
        factor = _reduction(self.stored, at_least)
        return next(scale for scale in (8, 4, 2, 1) if scale <= factor)


class _PillowPhoto(Photo):
    """An image that Pillow reads."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._image = image = open_tiff(data) if data.startswith(TIFF_MAGIC) else _opened(data)
        self.stored = ImageSize(*image.size)
        if image.format == "PNG" and "exif" not in image.info and (exif := _exif_of_png(data)):
            image.info["exif"] = exif
        self.orientation = _orientation(image.orientation) if isinstance(image, Tiff) else _orientation_in(image)

    def bytes_needed(self, at_least: int = 0) -> int:
        image, form = self._image, self._image.format or ""
        pixels = self.stored.width * self.stored.height
        wide, high = _reduced(self.stored, _reduction(self.stored, at_least))
        bytes_per_pixel = STORED_BYTES.get(image.mode, 4) + CODEC_BYTES.get(form, 0)
        if form == "BMP" and image.info["compression"] in RUN_LENGTHS:
            bytes_per_pixel += RUN_LENGTH_BYTES
        if form == "JPEG2000":
            pixels //= 4 if self._halved(at_least) else 1
        unpacked = image.block_bytes if isinstance(image, Tiff) else 0
        copied = 2 * len(self._data) if form in COPIED else 0
        return WORKING_BYTES + copied + unpacked + bytes_per_pixel * pixels + 3 * wide * high

    def _halved(self, at_least: int) -> bool:
        """Whether a JPEG 2000 is decoded at half size; Pillow miscalculates the size for smaller scales."""
        return _reduction(self.stored, at_least) > 1 and jpeg.levels_of_2000(self._data) > 0

    def _decode(self, at_least: int) -> RgbImage:
        image, size = self._image, self.stored
        if isinstance(image, Jpeg2KImagePlugin.Jpeg2KImageFile):
            image.reduce = int(self._halved(at_least))
        image.load()
        size = ImageSize(*image.size)
        grey = image.mode in ("1", "L", "LA", "La") or image.mode.startswith("I")
        mode = "L" if grey else "CMYK" if image.mode == "CMYK" else "RGB"
        profile = image.info.get("icc_profile")
        transform = colours.to_srgb(bytes(profile), mode) if profile else None
        shift = image.depth - 8 if isinstance(image, Tiff) else 8
        inverted = isinstance(image, Tiff) and image.white_is_zero
        factor = _reduction(size, at_least)

        def to_rgb(strip: Image.Image) -> Image.Image:
            if strip.mode.startswith("I"):
                strip = _upper_bits(strip, shift, inverted)
            rgb = _to_rgb(strip, transform)
            return rgb.reduce(factor) if factor > 1 else rgb

        return _assembled(size, _strips_of(image), self.orientation, to_rgb, factor)


def _opened(data: bytes) -> Image.Image:
    """Open an image with Pillow.

    Raises:
        UnreadableImage: Pillow cannot open it.
    """
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except Exception as error:
        kind = kind_of(data)
        if kind is not None and kind not in FORMATS:
            raise UnreadableImage("unsupported" if kind in MIME else "not_an_image", kind) from None
        unknown = "no known image header" if kind is None else f"broken {kind} header"
        detail = unknown if isinstance(error, Image.UnidentifiedImageError) else _one_line(error)
        raise UnreadableImage("not_an_image", detail) from None


def _reduction(size: ImageSize, at_least: int) -> int:
    """The largest integer factor that leaves at least `at_least` pixels on the shorter side."""
    return max(1, min(size) // at_least) if at_least else 1


def _reduced(size: ImageSize, factor: int) -> ImageSize:
    return ImageSize(-(-size.width // factor), -(-size.height // factor))


def _assembled(
    stored: ImageSize,
    strip: Callable[[int, int], Image.Image],
    orientation: int,
    to_rgb: Callable[[Image.Image], Image.Image],
    factor: int = 1,
) -> RgbImage:
    """Assemble the upright image from strips of the stored one.

    Args:
        stored: size of the stored image.
        strip: returns the stored rows from `top` to `bottom`.
        orientation: EXIF orientation.
        to_rgb: converts a strip to RGB, reduced by `factor`.
        factor: integer factor of the reduction.
    """
    wide, high = _reduced(stored, factor)
    upright = np.empty((wide, high, 3) if orientation >= 5 else (high, wide, 3), np.uint8)
    place = UPRIGHT[INVERSE.get(orientation, orientation)](upright)
    rows = max(1, STRIP_BYTES // (4 * stored.width * factor)) * factor
    for top in range(0, stored.height, rows):
        rgb = np.asarray(to_rgb(strip(top, min(top + rows, stored.height))))
        place[top // factor : top // factor + len(rgb)] = rgb
    return upright


def _strips_of(image: Image.Image) -> Callable[[int, int], Image.Image]:
    width, _ = image.size
    return lambda top, bottom: image.crop((0, top, width, bottom))


def _orientation_in(image: Image.Image) -> int:
    for name in ("xmp", "XML:com.adobe.xmp"):
        # Pillow reads the orientation from XMP too; image viewers do not.
        image.info.pop(name, None)
    try:
        # For a PNG, the method of the subclass decodes the image first.
        return _orientation(Image.Image.getexif(image).get(ExifTags.Base.Orientation))
    except Exception:
        return 1


def _exif_of_png(data: bytes) -> bytes:
    """The EXIF chunk of a PNG, which may follow the image data; b"" if there is none."""
    at = len(PNG_START)
    while at + 8 <= len(data):
        length, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if name == b"eXIf":
            return data[at + 8 : at + 8 + length]
        at += 12 + length
    return b""


def _orientation_of(exif: bytes) -> int:
    found = Image.Exif()
    try:
        found.load(exif)
        return _orientation(found.get(ExifTags.Base.Orientation))
    except Exception:
        return 1


def _orientation(value: Any) -> int:
    """EXIF orientation, 1 to 8; 1 if it is absent or invalid, so that bad EXIF never loses an image."""
    return value if isinstance(value, int) and value in UPRIGHT else 1


def _upper_bits(image: Image.Image, shift: int, inverted: bool) -> Image.Image:
    samples = np.asarray(image)
    if image.mode == "I" and (samples.min() < 0 or samples.max() > np.iinfo(np.uint16).max):
        raise UnreadableImage("unsupported", "samples beyond 16 bits")
    grey = (samples >> shift).astype(np.uint8)
    return Image.fromarray(255 - grey if inverted else grey)


def _to_rgb(image: Image.Image, transform: colours.Transform | None) -> Image.Image:
    """Convert to RGB in sRGB, with alpha and palettes composed on white."""
    if image.mode == "F":
        raise UnreadableImage("unsupported", "floating-point samples")
    image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode]) if image.mode in ("La", "RGBa") else image
    rgb = image.convert("RGB") if transform is None else colours.convert(image.convert(transform.input_mode), transform)
    if not image.has_transparency_data:
        return rgb
    rgb.putalpha(image.convert("RGBA").getchannel("A"))
    return Image.alpha_composite(Image.new("RGBA", rgb.size, (*WHITE, 255)), rgb).convert("RGB")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
