"""Images from outside are decoded under bounds, whatever their kind."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from workflow_scripts.common import images


def _encoded(image: Image.Image, form: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def _gradient(width: int = 64, height: int = 48) -> Image.Image:
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([x, y, 255 - x], axis=2).astype(np.uint8))


def _turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return _encoded(_gradient().rotate(90, expand=True), "JPEG", quality=98, exif=exif)


def _sixteen_bit() -> bytes:
    grey = np.asarray(_gradient())[..., 0].astype(np.uint16) * 257
    return _encoded(Image.fromarray(grey), "PNG")


@pytest.mark.parametrize(
    ("make", "tolerance"),
    [
        (lambda: _encoded(_gradient(), "PNG"), 0),
        (lambda: _encoded(_gradient(), "JPEG", quality=98), 4),
        (lambda: _encoded(_gradient().convert("CMYK"), "JPEG", quality=98), 4),
        (lambda: _encoded(_gradient(), "TIFF"), 0),
        (lambda: _encoded(_gradient(), "WEBP", lossless=True), 0),
        (lambda: _encoded(_gradient().convert("RGBA"), "PNG"), 0),
        (_turned, 4),
    ],
)
def test_images_of_every_kind_come_out_upright_in_rgb(make: Callable[[], bytes], tolerance: int) -> None:
    data = make()
    image = images.decode(data)
    assert image.dtype == np.uint8
    assert images.read_size(data) == (64, 48)
    assert np.abs(image.astype(int) - np.asarray(_gradient())).mean() <= tolerance


def test_sixteen_bit_samples_keep_their_upper_bits() -> None:
    image = images.decode(_sixteen_bit())
    assert np.array_equal(image[..., 0], np.asarray(_gradient())[..., 0])


def test_what_is_transparent_is_white() -> None:
    clear = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    assert (images.decode(_encoded(clear, "PNG")) == 255).all()
    palette = Image.new("P", (8, 8), 0)
    assert (images.decode(_encoded(palette, "PNG", transparency=0)) == 255).all()


@settings(deadline=None)
@given(st.binary(max_size=400), st.integers(0, 2000))
def test_hostile_bytes_give_an_image_or_a_named_fault(noise: bytes, at: int) -> None:
    data = bytearray(_encoded(_gradient(), "PNG"))
    at %= len(data)
    data[at : at + len(noise)] = noise
    for candidate in (noise, bytes(data)):
        try:
            assert images.decode(candidate, max_pixels=1_000_000).ndim == 3
        except images.UnreadableImage as error:
            assert error.fault in ("not_an_image", "truncated", "too_large")


def test_a_featureless_image_has_no_perceptual_hash_and_halving_keeps_one() -> None:
    assert images.pdq(np.full((300, 300, 3), 200, np.uint8)) is None
    blocks = np.random.default_rng(1).integers(0, 256, (6, 8, 3), np.uint8)
    image = np.asarray(Image.fromarray(blocks).resize((640, 480)))
    whole, half = images.pdq(image), images.pdq(images.scale_down(image, 320))
    assert whole is not None
    assert half is not None
    assert (int(whole, 16) ^ int(half, 16)).bit_count() <= 10


def test_squares_squash_or_crop() -> None:
    image = np.zeros((100, 300, 3), np.uint8)
    image[:, 100:200] = 255
    assert images.to_square(image, 50, "crop").min() == 255
    squashed = images.to_square(image, 60, "squash")
    assert squashed.shape == (60, 60, 3)
    assert (squashed[:, :20] == 0).all()
    assert (squashed[:, 20:40] == 255).all()
