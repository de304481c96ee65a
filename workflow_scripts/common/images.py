"""Images from outside: decoded under bounds, scaled, encoded, hashed. Arrays are (height, width, 3), uint8, RGB."""

import io
import warnings
from typing import Literal, NamedTuple

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, ImageOps

from workflow_scripts.common.pdq import SIDE, pdq_hash

RgbImage = NDArray[np.uint8]

# Formats of photographs. Others (EPS, PSD, FITS, ...) only widen what hostile bytes can reach.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "JPEG2000")
MAX_PIXELS = 100_000_000
WHITE = (255, 255, 255)
SRGB = ImageCms.createProfile("sRGB")
# By the colour space of an embedded profile: the modes of images that it may describe.
PROFILED = {"RGB": ("RGB", "RGBA", "P"), "GRAY": ("L", "LA"), "CMYK": ("CMYK",)}

# Makes every format's reader known; Pillow else finds some of the names above only after others failed.
Image.init()
# Threads are the caller's affair: steps run several images or several jobs at once.
cv2.setNumThreads(1)
# Sizes are checked here before anything is decoded.
warnings.simplefilter("ignore", Image.DecompressionBombWarning)

Fault = Literal["not_an_image", "truncated", "too_large"]


class UnreadableImage(ValueError):
    """Bytes that give no image.

    Attributes:
        fault: `not_an_image` (no known header), `too_large` (its header claims too many pixels), or `truncated`
            (a good header, then data that ends early or is broken).
    """

    def __init__(self, fault: Fault, detail: str) -> None:
        super().__init__(f"{fault}: {detail}")
        self.fault = fault
        self.detail = detail


class ImageSize(NamedTuple):
    """Size in pixels, as shown (EXIF orientation applied)."""

    width: int
    height: int


def read_size(data: bytes, max_pixels: int = MAX_PIXELS) -> ImageSize:
    """Size from the header alone; nothing is decoded.

    Raises:
        UnreadableImage: `not_an_image` or `too_large`.
    """
    with _open(data, max_pixels) as image:
        width, height = image.size
        return ImageSize(height, width) if _orientation(image) >= 5 else ImageSize(width, height)


def decode(data: bytes, max_pixels: int = MAX_PIXELS, at_least: int = 0, to_srgb: bool = False) -> RgbImage:
    """Decode wholly to RGB, upright.

    With `at_least`, a JPEG may come out at a reduced scale whose shorter side is still that many pixels or more:
    libjpeg then skips the finer frequencies, in about half the time.

    EXIF orientation is applied; CMYK and grey are converted; 16-bit samples keep their upper 8 bits; palettes and
    alpha are laid on white, as img2dataset does; of an animation the first frame is taken. With `to_srgb`, the colours
    of an embedded profile other than sRGB are converted; a broken profile is passed over.

    Raises:
        UnreadableImage: no image, an image of more than `max_pixels` pixels, cut-off or broken data.
    """
    with _open(data, max_pixels) as image:
        profile = _profile(image) if to_srgb else None
        if profile is None and image.format == "JPEG" and image.mode in ("RGB", "L") and _orientation(image) == 1:
            try:
                return simplejpeg.decode_jpeg(
                    data,
                    colorspace="RGB",
                    fastdct=False,
                    fastupsample=False,
                    min_height=at_least,
                    min_width=at_least,
                    strict=True,
                )
            except ValueError:
                # Whether a flaw is only odd (extra bytes before a marker) or fatal is for Pillow to say.
                pass
        try:
            upright = ImageOps.exif_transpose(image)
            return np.asarray(_to_rgb(upright if profile is None else _converted(upright, profile)))
        except UnreadableImage:
            raise
        except Exception as error:
            raise UnreadableImage("truncated", _line(error)) from None


def scale_down(image: RgbImage, longer_side: int) -> RgbImage:
    """Scale so that the longer side is `longer_side`, keeping the ratio; smaller images stay as they are.

    This is img2dataset's `keep_ratio_largest` with `resize_only_if_bigger`, which made TreeOfLife-200M.
    """
    height, width = image.shape[:2]
    if max(height, width) <= longer_side:
        return image
    scale = longer_side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def to_square(image: RgbImage, side: int, how: Literal["squash", "crop"]) -> RgbImage:
    """Make a square of `side` pixels: squash the whole image into it, or crop the largest central square first."""
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
    """JPEG with 4:2:0 chroma; the same pixels give the same bytes."""
    return bytes(
        simplejpeg.encode_jpeg(
            np.ascontiguousarray(image), quality=quality, colorspace="RGB", colorsubsampling="420", fastdct=False
        )
    )


def pdq(image: RgbImage) -> str | None:
    """PDQ perceptual hash (256 bits as 64 hex digits) of the image resized to 512x512; None where PDQ finds no feature.

    Without that resize halved images are not found again. A featureless image would else equal all others.
    """
    square = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return pdq_hash(np.asarray(square, np.uint8))


def _open(data: bytes, max_pixels: int) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise UnreadableImage("too_large", _line(error)) from None
    except Exception as error:
        # Parsers of hostile headers raise whatever they stumble over.
        detail = "no known image header" if isinstance(error, Image.UnidentifiedImageError) else _line(error)
        raise UnreadableImage("not_an_image", detail) from None
    width, height = image.size
    if width * height > max_pixels:
        raise UnreadableImage("too_large", f"{width} x {height} pixels")
    return image


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8; 1 where it is absent or unreadable, and of TIFF, which Pillow turns by itself."""
    if image.format == "TIFF":
        return 1
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:
        return 1
    return value if value in range(1, 9) else 1


def _profile(image: Image.Image) -> ImageCms.ImageCmsProfile | None:
    """The embedded colour profile, when it is readable, fits the image, and is other than sRGB."""
    data = image.info.get("icc_profile")
    if not data:
        return None
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
        name = ImageCms.getProfileDescription(profile)
        fits = image.mode in PROFILED.get(profile.profile.xcolor_space.strip(), ())
    except Exception:
        return None
    return profile if fits and "sRGB" not in name else None


def _converted(image: Image.Image, profile: ImageCms.ImageCmsProfile) -> Image.Image:
    """The image in sRGB, with its alpha as it was."""
    image.load()
    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    colours = image.convert({"P": "RGB", "RGBA": "RGB", "LA": "L"}.get(image.mode, image.mode))
    try:
        converted = ImageCms.profileToProfile(colours, profile, SRGB, outputMode="RGB")
    except ImageCms.PyCMSError:
        return image
    assert converted is not None
    if alpha is not None:
        converted.putalpha(alpha)
    return converted


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        samples = np.asarray(image)
        if samples.min() < 0 or samples.max() > np.iinfo(np.uint16).max:
            raise UnreadableImage("not_an_image", f"samples beyond 16 bits (mode {image.mode})")
        image = Image.fromarray((samples.astype(np.uint16) >> 8).astype(np.uint8))
    elif image.mode == "F":
        raise UnreadableImage("not_an_image", "floating-point samples")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        paper = Image.new("RGBA", layer.size, (*WHITE, 255))
        return Image.alpha_composite(paper, layer).convert("RGB")
    return image.convert("RGB")


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
