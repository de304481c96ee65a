"""Untrusted images of all kinds are decoded within bounds."""

import csv
import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from workflow_scripts.common import images
from workflow_scripts.common.pdq import pdq_hash


def _encoded(image: Image.Image, form: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def _gradient(width: int = 64, height: int = 48) -> Image.Image:
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([x, y, 255 - x], axis=2).astype(np.uint8))


def _turned(form: str = "JPEG") -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return _encoded(_gradient().rotate(90, expand=True), form, quality=98, exif=exif)


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
        (lambda: _turned("PNG"), 0),
        (lambda: _turned("TIFF"), 0),
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
            assert error.fault in get_args(images.Fault)


def _blocks(seed: int, high: int, wide: int, blur: int) -> images.RgbImage:
    """Blocks of random colour on 512 x 512 pixels with a box blur, in integers to be the same on every machine."""
    values = np.random.default_rng(seed).integers(0, 256, (high, wide, 3), np.uint8).astype(np.int64)
    values = values[np.arange(512) * high // 512][:, np.arange(512) * wide // 512]
    for axis in (0, 1) if blur else ():
        edges = [values.take([end] * blur, axis) for end in (0, -1)]
        sums = np.cumsum(np.concatenate([edges[0], values, edges[1]], axis), axis)
        values = (sums.take(range(2 * blur, 512 + 2 * blur), axis) - sums.take(range(512), axis)) // (2 * blur)
    return values.astype(np.uint8)


def _bits(digits: str) -> np.ndarray:
    return np.unpackbits(np.frombuffer(bytes.fromhex(digits), np.uint8))


# Answers of pdqhash 0.2.8, Facebook's code. It sums single floats: bits whose value lies within 0.02 of the median may
# fall to either side, and are not `sure`.
PDQHASH = list(csv.DictReader(Path(__file__).with_name("pdqhash.csv").read_text().splitlines()))


@pytest.mark.parametrize("answer", PDQHASH, ids=lambda answer: str(answer["seed"]))
def test_the_perceptual_hash_is_that_of_the_reference_code(answer: dict[str, str]) -> None:
    found = pdq_hash(_blocks(*(int(answer[name]) for name in ("seed", "high", "wide", "blur"))))
    assert (found is None) == (answer["quality"] == "0")
    if found is not None:
        sure = _bits(answer["sure"]) == 1
        assert (_bits(found) == _bits(answer["hash"]))[sure].all()


def _tag(signature: bytes, *numbers: float) -> bytes:
    """A tag's data in an ICC profile: XYZ, or a curve that is one power."""
    if signature == b"XYZ ":
        return signature + bytes(4) + struct.pack(">3i", *(round(number * 65536) for number in numbers))
    return signature + bytes(4) + struct.pack(">IH", 1, round(numbers[0] * 256)) + bytes(2)


def _icc(space: bytes, tags: dict[bytes, bytes], kind: bytes = b"mntr", between: bytes = b"XYZ ") -> bytes:
    """An ICC profile, version 2 (ICC.1:2001-04), of a display or another kind of device, by way of XYZ or Lab."""
    name_of_it = b"desc" + bytes(4) + struct.pack(">I", 5) + b"wide\0" + bytes(79)
    tags = {b"desc": name_of_it, b"cprt": b"text" + bytes(8)} | tags
    table, data = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        table += struct.pack(">4sII", name, 128 + 4 + 12 * len(tags) + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    size = 128 + len(table) + len(data)
    head = struct.pack(">I4sI4s4s4s", size, bytes(4), 0x02400000, kind, space, between) + bytes(12) + b"acsp"
    head += bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + table + data


ADOBE_GAMMA = 2.19921875
# Primaries of Adobe RGB (1998) and of sRGB, adapted to the profiles' white, D50.
ADOBE = np.array([[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]])
PRIMARIES_OF_SRGB = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
CURVES = dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), _tag(b"curv", ADOBE_GAMMA))
ADOBE_RGB = _icc(
    b"RGB ",
    {b"wtpt": _tag(b"XYZ ", 0.9642, 1.0, 0.8249)}
    | {name: _tag(b"XYZ ", *ADOBE[:, column]) for column, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))}
    | CURVES,
)


def _srgb(linear: np.ndarray) -> np.ndarray:
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 0) ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_colours_of_another_profile_become_srgb(mode: str) -> None:
    # It stands in Pillow's palette too.
    colour = (153, 102, 51)
    image = Image.new("RGB", (16, 16), colour).convert(mode)
    data = _encoded(image, "PNG", icc_profile=ADOBE_RGB)
    linear = np.linalg.inv(PRIMARIES_OF_SRGB) @ ADOBE @ (np.array(colour) / 255) ** ADOBE_GAMMA
    assert np.abs(images.decode(data)[8, 8] - _srgb(linear)).max() < 2
    assert np.abs(np.array(colour) - _srgb(linear)).max() > 8, "a colour that the conversion moves"
    assert images.decode_plain(data).getpixel((8, 8)) == colour


def test_a_grey_profile_is_for_grey_images_and_one_that_does_not_fit_is_passed_over() -> None:
    grey_profile = _icc(b"GRAY", {b"wtpt": _tag(b"XYZ ", 0.9642, 1.0, 0.8249), b"kTRC": _tag(b"curv", 1.0)})
    grey = _encoded(Image.new("L", (16, 16), 55), "PNG", icc_profile=grey_profile)
    assert np.abs(images.decode(grey)[8, 8] - _srgb(np.full(3, 55 / 255))).max() < 2
    colour, shade = Image.new("RGB", (16, 16), (9, 99, 199)), Image.new("L", (16, 16), 55)
    for image, profile in ((colour, grey_profile), (shade, ADOBE_RGB)):
        data = _encoded(image, "PNG", icc_profile=profile)
        assert (images.decode(data) == np.asarray(images.decode_plain(data))).all()
    cmyk = _encoded(Image.new("CMYK", (16, 16), (0, 200, 200, 20)), "JPEG", icc_profile=ADOBE_RGB)
    assert (images.decode(cmyk) == np.asarray(images.decode_plain(cmyk))).all()


def test_a_press_profile_says_what_its_inks_look_like() -> None:
    # A table with the corners of ink space alone; cyan 0, magenta 1, yellow 1, black 0 looks like L 60, a -40, b 30.
    corners = np.full((2, 2, 2, 2, 3), (255, 128, 128), np.uint8)
    corners[0, 1, 1, 0] = (round(2.55 * 60), 128 - 40, 128 + 30)
    straight = bytes(range(256))
    matrix = struct.pack(">9i", *(65536 * one for one in (1, 0, 0, 0, 1, 0, 0, 0, 1)))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix + 4 * straight + corners.tobytes() + 3 * straight
    press = _icc(b"CMYK", {b"wtpt": _tag(b"XYZ ", 0.9642, 1.0, 0.8249), b"A2B0": table}, b"prtr", b"Lab ")
    inked = _encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=98, icc_profile=press)
    # L*a*b* to XYZ under D50 (CIE 15), and on to sRGB.
    y = (60 + 16) / 116
    linear = np.linalg.inv(PRIMARIES_OF_SRGB) @ np.array(
        [0.9642 * (y - 40 / 500) ** 3, y**3, 0.8249 * (y - 30 / 200) ** 3]
    )
    assert np.abs(images.decode(inked)[8, 8] - _srgb(linear)).max() < 4
    assert images.decode_plain(inked).getpixel((8, 8))[0] > 200, "without the profile it is red"


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
