"""Photos from cameras, scanners and museums are decoded correctly, or refused with their kind."""

import io
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile, ImageOps, PngImagePlugin

from workflow_scripts.common import images
from workflow_scripts.common.embedding import ImageFiles, ImagePlace
from workflow_scripts.common.image_kinds import MIME, START_BYTES, kind_of
from workflow_scripts.train import images as training

REAL = os.environ.get("TREEOFLIFE_REAL_DATA")
FOLDER = Path(REAL or "/nowhere") / "real" / "images"
ROOT = Path(__file__).resolve().parents[2]
SIZE = (90, 64)


def picture(width: int = SIZE[0], height: int = SIZE[1]) -> Image.Image:
    """A smooth image without symmetry."""
    small = np.random.default_rng(3).integers(0, 256, (5, 7, 3), np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def turned(orientation: object) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def apart(one: np.ndarray, other: Any) -> float:
    return float(np.abs(one.astype(int) - np.asarray(other, int)).mean())


def tiff(tags: dict[int, tuple[int, ...]], pixels: bytes, magic: bytes = b"II*\0") -> bytes:
    """A TIFF of one strip, little endian; tags of several values are 16 bits wide, others 32."""
    size = 8 + 2 + 12 * (len(tags) + 2) + 4
    tags = tags | {273: (0,), 279: (len(pixels),)}
    room, entries = b"", b""
    at = size + sum(2 * len(values) for values in tags.values() if len(values) > 2)
    for number, values in sorted((tags | {273: (at,)}).items()):
        if len(values) == 1:
            entries += struct.pack("<HHII", number, 4, 1, values[0])
        elif len(values) == 2:
            entries += struct.pack("<HHIHH", number, 3, 2, *values)
        else:
            entries += struct.pack("<HHII", number, 3, len(values), size + len(room))
            room += struct.pack(f"<{len(values)}H", *values)
    return magic + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + entries + bytes(4) + room + pixels


def tags_of(photometric: int, bits: tuple[int, ...], **others: tuple[int, ...]) -> dict[int, tuple[int, ...]]:
    width, height = SIZE
    known = {
        256: (width,),
        257: (height,),
        258: bits,
        259: (1,),
        262: (photometric,),
        277: (len(bits),),
        278: (height,),
    }
    return known | {int(name[1:]): value for name, value in others.items()}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_a_photo_is_turned_as_its_tag_says(form: str, orientation: int) -> None:
    data = encoded(picture(), form, exif=turned(orientation), **({"lossless": True} if form == "WEBP" else {}))
    wanted = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    assert images.read_size(data) == wanted.size
    assert apart(images.decode(data), wanted) < (1 if form == "JPEG" else 0.01)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "exif",
    [
        turned(0),
        turned(65535),
        b"Exif\0\0LoremIpsum",
        b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x04\0\0\0six\0",
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff",
    ],
)
def test_exif_that_makes_no_sense_costs_nothing(form: str, exif: Any) -> None:
    assert images.decode(encoded(picture(), form, exif=exif)).shape == (SIZE[1], SIZE[0], 3)


@pytest.mark.parametrize("form", images.FORMATS)
def test_a_header_is_read_without_the_picture(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(picture(), form, **({} if form in ("GIF", "BMP", "JPEG2000") else {"exif": turned(6)}))

    def load(self: Any) -> None:
        raise AssertionError("it is decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    photo = images.open_photo(data)
    assert sorted(photo.size) == sorted(SIZE)
    with pytest.raises(images.UnreadableImage, match=r"too_large: (90 x 64|64 x 90)"):
        images.open_photo(data, SIZE[0] * SIZE[1] - 1)


def refused() -> dict[str, bytes]:
    pixels = bytes(SIZE[0] * SIZE[1] * 12)
    ftyp = b"\0\0\0\x18ftyp%s\0\0\0\0%s"
    return {
        "HEIC": ftyp % (b"heic", b"mif1heic") + bytes(200),
        "CR3": ftyp % (b"crx ", b"crx isom") + bytes(200),
        "BigTIFF": tiff(tags_of(2, (8, 8, 8)), pixels, b"II+\0"),
        "DNG": tiff(tags_of(2, (8, 8, 8), _50706=(1,)), pixels),
        "thumbnail": tiff(tags_of(2, (8, 8, 8), _254=(1,), _330=(8,)), pixels),
        "CIELAB": tiff(tags_of(8, (8, 8, 8)), pixels),
        "floating-point": tiff(tags_of(2, (32, 32, 32), _339=(3, 3, 3)), pixels),
        "signed": tiff(tags_of(1, (16,), _339=(2,)), pixels),
        "32 bits": tiff(tags_of(1, (32,)), pixels),
        "JPEG XL": b"\xff\x0a" + bytes(50),
        "lossless JPEG": encoded(picture(), "JPEG").replace(b"\xff\xc0", b"\xff\xc3", 1),
        "hierarchical JPEG": encoded(picture(), "JPEG").replace(b"\xff\xc0", b"\xff\xc5", 1),
        "JPEG-LS": encoded(picture(), "JPEG").replace(b"\xff\xc0", b"\xff\xf7", 1),
        "SVG": b"<?xml version='1.0'?>\n<!-- drawn --><svg xmlns='http://www.w3.org/2000/svg'/>",
        "web page": b"\n<!DOCTYPE html><html><svg></svg></html>",
        "PDF": b"%PDF-1.7\n",
    }


@pytest.mark.parametrize("name", refused())
def test_what_is_not_read_is_refused_by_its_true_name(name: str) -> None:
    with pytest.raises(images.UnreadableImage, match=name) as raised:
        images.decode(refused()[name])
    assert raised.value.fault == ("not_an_image" if name in ("web page", "PDF") else "unsupported")


def run_length_bitmap(side: int) -> bytes:
    """A square bitmap of 8 bits a pixel in runs (BI_RLE8), its palette in colour."""
    full, rest = divmod(side, 255)
    row = full * b"\xff\x07" + bytes([rest, 9] if rest else []) + b"\0\0"
    pixels = side * row + b"\0\1"
    palette = b"".join(bytes([number, 255 - number, 9, 0]) for number in range(256))
    start = 14 + 40 + len(palette)
    info = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, len(pixels), 0, 0, 256, 0)
    return struct.pack("<2sIHHI", b"BM", start + len(pixels), 0, 0, start) + info + palette + pixels


# Decodes a small bitmap, then a large one, and prints what the large one was said to need and what it took, bytes.
# The most memory is that of this program alone: `ru_maxrss` begins with that of the process that starts it.
MEASURED = """
import re, sys
from pathlib import Path
from workflow_scripts.common import images
def now(name):
    return 1024 * int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
small, large = (Path(path).read_bytes() for path in sys.argv[1:])
images.decode(small, at_least=images.HASHED_AT)
before = now("VmRSS")
photo = images.open_photo(large)
needed = photo.bytes_needed(images.HASHED_AT)
photo.decode(images.HASHED_AT)
print(needed, now("VmHWM") - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is measured as Linux tells it")
def test_a_run_length_bitmap_stays_within_its_estimated_memory(tmp_path: Path) -> None:
    for name, side in (("small", 90), ("large", 6000)):
        (tmp_path / name).write_bytes(run_length_bitmap(side))
    words = [sys.executable, "-c", MEASURED, str(tmp_path / "small"), str(tmp_path / "large")]
    needed, taken = map(int, subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split())
    print(f"needed {needed >> 20} MiB, taken {taken >> 20} MiB")
    assert 2 * 6000 * 6000 < taken < needed


@pytest.mark.parametrize("form", images.FORMATS)
def test_every_format_that_is_read_is_a_known_kind(form: str) -> None:
    data = encoded(picture(), form)
    assert kind_of(data[:START_BYTES]) == form
    assert MIME[form] == Image.MIME[form]


@pytest.mark.parametrize("size, is_read", [(3_000_000, True), (30_000_000, False)])
def test_a_png_may_have_a_long_text_within_bounds(size: int, is_read: bool) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", "y" * size, zip=True)
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG", pnginfo=text)
    if is_read:
        assert images.decode(file.getvalue()).shape == (8, 8, 3)
    else:
        with pytest.raises(images.UnreadableImage):
            images.decode(file.getvalue())


@pytest.mark.parametrize("header", [12, 40, 52, 56, 64, 108, 124, 16, int.from_bytes(b"cars", "little")])
def test_a_bitmap_has_a_header_of_a_known_size(header: int) -> None:
    start = b"BMW, Audi: all" + struct.pack("<I", header) + bytes(46)
    assert (kind_of(start) == "BMP") == (header not in (16, int.from_bytes(b"cars", "little")))


def _planes_of_16_bits() -> tuple[bytes, Any]:
    return _planar(np.moveaxis(np.asarray(picture()), 2, 0)), picture()


def _planar(planes: np.ndarray) -> bytes:
    """A TIFF whose three planes of 16 bits lie in a strip each."""
    strips = [(plane.astype("<u2") << 8).tobytes() for plane in planes]
    tags = tags_of(2, (16, 16, 16), _284=(2,))
    entries, size = b"", 8 + 2 + 12 * (len(tags) + 2) + 4
    bits_at, offsets_at, counts_at, data_at = size, size + 6, size + 18, size + 30
    offsets = [data_at + sum(map(len, strips[:number])) for number in range(3)]
    wide = {258: (3, 3, bits_at), 273: (4, 3, offsets_at), 279: (4, 3, counts_at)}
    for number in sorted([*tags, 273, 279]):
        kind, count, value = wide.get(number, (4, 1, tags.get(number, (0,))[0]))
        entries += struct.pack("<HHII", number, kind, count, value)
    head = b"II*\0" + struct.pack("<IH", 8, len(tags) + 2) + entries + bytes(4)
    return head + struct.pack("<3H3I3I", 16, 16, 16, *offsets, *map(len, strips)) + b"".join(strips)


def _palette_of_8_bits() -> tuple[bytes, Any]:
    indexed = picture().quantize(16)
    colours = np.zeros((256, 3), int)
    colours[:16] = np.array(indexed.getpalette()).reshape(-1, 3)[:16]
    tags = tags_of(3, (8,), _320=tuple(colours.T.ravel().tolist()))
    return tiff(tags, indexed.tobytes()), indexed.convert("RGB")


def _white_is_zero() -> tuple[bytes, Any]:
    grey = np.asarray(picture().convert("L"))
    return tiff(tags_of(0, (16,)), (65535 - grey.astype("<u2") * 257).tobytes()), Image.fromarray(grey).convert("RGB")


@pytest.mark.parametrize("make", [_planes_of_16_bits, _palette_of_8_bits, _white_is_zero])
def test_tiffs_that_pillow_takes_for_what_they_are_not_come_out_right(make: Callable[[], tuple[bytes, Any]]) -> None:
    data, wanted = make()
    assert apart(images.decode(data), wanted) < 0.01


@pytest.mark.parametrize("form", ["JPEG", "PNG", "JPEG2000", "TIFF"])
def test_a_reduced_picture_looks_and_hashes_like_the_original(form: str) -> None:
    fine = np.random.default_rng(5).integers(0, 256, (37, 53, 3), np.uint8)
    image = Image.fromarray(fine).resize((2300, 1500), Image.Resampling.BICUBIC)
    data = encoded(image, form, **({"quality": 92} if form == "JPEG" else {}))
    whole, reduced = images.decode(data), images.decode(data, at_least=images.HASHED_AT)
    assert images.HASHED_AT <= min(reduced.shape[:2]) < min(whole.shape[:2])
    hashes = [int(images.pdq(picture) or "", 16) for picture in (whole, reduced)]
    assert (hashes[0] ^ hashes[1]).bit_count() <= 2
    kept = [images.scale_down(picture, 720) for picture in (whole, reduced)]
    assert kept[0].shape == kept[1].shape
    assert apart(kept[0], kept[1]) < 2


# What is read of each, as its size; others there are read as well.
SIZES = {
    "android-p3-gainmap.jpg": (403, 302), "cmyk-no-profile.jpg": (500, 333), "cmyk-profile.jpg": (160, 227),
    "contig16.tif": (64, 48), "exif-typeerror.jpg": (800, 531), "flower.webp": (480, 360),
    "jfif-empty-segment.jpg": (942, 714), "orientation-3.jpg": (1800, 1200), "orientation-6.jpg": (1800, 1200),
    "orientation-8.jpg": (1800, 1200), "phone.mpo": (640, 480), "photo.avif": (512, 512), "planar16.tif": (64, 48),
    "planar16_imagemagick.tif": (64, 48), "png-imagemagick-exif-orientation.png": (512, 512),
    "png-unreadable-exif.png": (1, 1),
}  # fmt: skip


@pytest.mark.skipif(REAL is None, reason="TREEOFLIFE_REAL_DATA is not set")
@pytest.mark.parametrize("name", SIZES)
def test_downloads_training_and_prediction_see_the_same_picture(name: str) -> None:
    data = (FOLDER / name).read_bytes()
    pixels = images.decode(data)
    assert images.read_size(data) == pixels.shape[1::-1] == SIZES[name]
    assert (training.decode(data) == pixels).all()
    files = ImageFiles([ImagePlace(str(FOLDER / name))], lambda image: torch.from_numpy(np.array(image)))
    assert (np.asarray(files[0].pixels) == pixels).all()


@pytest.mark.skipif(REAL is None, reason="TREEOFLIFE_REAL_DATA is not set")
def test_real_photos_agree_with_each_other() -> None:
    turned = [images.decode((FOLDER / f"orientation-{number}.jpg").read_bytes()) for number in (3, 6, 8)]
    assert max(apart(turned[0], other) for other in turned[1:]) < 5
    planes = [images.decode((FOLDER / name).read_bytes()) for name in ("planar16.tif", "planar16_imagemagick.tif")]
    contiguous = images.decode((FOLDER / "contig16.tif").read_bytes())
    assert all((other == contiguous).all() for other in planes)
    wide = (FOLDER / "android-p3-gainmap.jpg").read_bytes()
    assert apart(images.decode(wide), images.decode_plain(wide)) > 1, "Display P3 with sRGB's curve is no sRGB"
