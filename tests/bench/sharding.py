"""Benches of images and shards, each in a separate process: `sharding.py NAME` prints its rows."""

import io
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import scipy.fft
import scipy.ndimage
import webdataset
from photos import photo
from PIL import Image
from rows import MeasuredValues, print_rows, sized

from workflow_scripts.common import images, tables, tars
from workflow_scripts.common.captions import Taxon, published_members
from workflow_scripts.common.files import sha256_file
from workflow_scripts.common.pdq import SIDE
from workflow_scripts.contracts import SHARD_INDEX, SHARD_MANIFEST
from workflow_scripts.train.samples import SampleReader, list_shards

PHOTOS = sized(100, 4)
JPEG = b"\xff\xd8"
# Samples of the shard, which repeats the photos.
SAMPLES = sized(2000, 20)
MAGPIE = {
    "kingdom": "Animalia", "phylum": "Chordata", "class": "Aves", "order": "Passeriformes", "family": "Corvidae",
    "genus": "Pica", "species": "hudsonia", "scientific_name": "Pica hudsonia", "common_name": "black-billed magpie",
}  # fmt: skip


def rates() -> Iterator[MeasuredValues]:
    """Images per second on one core: conversion for a shard, and hashing."""
    photos = [photo(number) for number in range(PHOTOS)]
    yield (
        "shard_images_per_core",
        _rate(photos, _ours),
        "/s",
        "PIL open, bicubic resize, save",
        _rate(photos, _plain),
    )
    pixels = [images.decode(photo) for photo in photos]
    yield (
        "pdq_hashes_per_core",
        _rate(pixels, images.pdq),
        "/s",
        "PIL bicubic resize to 512 x 512, the hash by scipy",
        _rate(pixels, _plain_pdq),
    )


def _rate(items: list[Any], work: Callable[[Any], object]) -> float:
    started = time.process_time()
    for item in items:
        work(item)
    return len(items) / (time.process_time() - started)


def _ours(jpeg: bytes) -> bytes:
    return images.encode_jpeg(images.to_square(images.decode(jpeg, at_least=224), 224, "squash"), 95)


def _plain(jpeg: bytes) -> bytes:
    out = io.BytesIO()
    Image.open(io.BytesIO(jpeg)).convert("RGB").resize((224, 224), Image.Resampling.BICUBIC).save(
        out, "JPEG", quality=95
    )
    return out.getvalue()


def _plain_pdq(pixels: images.RgbImage) -> object:
    square = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC).convert("L")
    filtered = np.asarray(square, np.float32)
    for _ in range(2):
        filtered = scipy.ndimage.uniform_filter(filtered, SIDE // 128)
    step = SIDE // 64
    spectrum = scipy.fft.dctn(filtered[step // 2 :: step, step // 2 :: step], norm="ortho")[1:17, 1:17]
    return np.packbits(spectrum > np.median(spectrum))


def epoch() -> Iterator[MeasuredValues]:
    """Bytes per sample read by the trainer's reader, compared with webdataset on the published layout."""
    published = {extension: text.encode() for extension, text in published_members(Taxon.from_row(MAGPIE)).items()}
    jpegs = [_ours(photo(number)) for number in range(PHOTOS)]
    samples = [(f"{number:032x}", jpegs[number % PHOTOS]) for number in range(SAMPLES)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours, theirs = folder / "shard-000000.tar", folder / "theirs.tar"
        places = tars.write_tar(ours, ((key, {"jpg": jpeg, "label_id.txt": b"0" * 32}) for key, jpeg in samples))
        tars.write_tar(theirs, ((key, {"jpg": jpeg, **published}) for key, jpeg in samples))
        _write_tables(folder, ours, [(key, place["jpg"]) for (key, _), place in zip(samples, places, strict=True)])
        read, also = _bytes_read(lambda: _read_ours(folder)), _bytes_read(lambda: _read_through(theirs))
        sizes = [tar.stat().st_size / SAMPLES for tar in (ours, theirs)]
    yield "epoch_bytes", read / SAMPLES, "B", "the published layout, by webdataset", also / SAMPLES
    yield "shard_bytes", sizes[0], "B", "the published layout", sizes[1]


def _write_tables(folder: Path, tar: Path, places: list[tuple[str, tars.Span]]) -> None:
    rows = [
        {"uuid": uuid, "shard": tar.name, "position": number, "label_id": "0" * 32} | place._asdict()
        for number, (uuid, place) in enumerate(places)
    ]
    tables.write_rows(rows, SHARD_INDEX, folder / "index.parquet")
    entry = {"shard": tar.name, "samples": len(rows), "bytes": tar.stat().st_size, "sha256": sha256_file(tar)}
    tables.write_rows([entry], SHARD_MANIFEST, folder / "manifest.parquet")


def _read_ours(folder: Path) -> None:
    reader = SampleReader(list_shards([folder], SHARD_INDEX), [["label_id"]], window=1)
    order = np.random.default_rng(0).permutation(SAMPLES)
    assert all(reader.image(0, int(row)).startswith(JPEG) for row in order)


def _read_through(tar: Path) -> None:
    assert sum(1 for _ in webdataset.WebDataset(str(tar), shardshuffle=False)) == SAMPLES


def _bytes_read(work: Callable[[], None]) -> int:
    """Bytes that the process reads during `work`, including tables and headers."""
    before = _asked()
    work()
    return _asked() - before


def _asked() -> int:
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["rchar"])


if __name__ == "__main__":
    print_rows((rates, epoch))
