"""Benches of curation and shards, on data that they make; see `bench.py`."""

import io
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import duckdb
import numpy as np
import pdqhash
from PIL import Image

from workflow_scripts.common import images, tables, tars
from workflow_scripts.common.captions import Taxon, published_members
from workflow_scripts.curate.hashes import MAX_DISTANCE, NearHashes, use_threads

PHOTOS = 100
CATALOGUE_HASHES = 10_000_000
BENCHMARK_HASHES = 100_000
HASHES_A_BATCH = 250_000
# Brute force is timed on this many hashes and multiplied.
SAMPLED_HASHES = 20_000
PLANTED = 200
OTHERS = 20_000
DEDUP_ROWS = 20_000_000
DEDUP_MEMORY_MB = 700

Measured = tuple[str, float, str, str, float]
"""Name, value, unit, peer, the peer's value."""


def data_benches() -> Iterator[Measured]:
    """Every bench of this file."""
    photos = [_photo(number) for number in range(PHOTOS)]
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
        "pdqhash of the pixels as they are",
        _rate(pixels, pdqhash.compute),
    )
    yield from _leakage()
    yield from _planted()
    yield from _dedup()
    yield from _epoch(photos)


def _photo(number: int, width: int = 720, height: int = 540) -> bytes:
    """A JPEG; made 224 px small it has about 20 KB, so that headers are a third of a published shard, as they are."""
    random = np.random.default_rng(number)
    picture = np.zeros((height, width, 3))
    for cells, depth in ((4, 60), (16, 30), (64, 8), (256, 8)):
        picture += cv2.resize(
            random.normal(0, depth, (cells, cells, 3)), (width, height), interpolation=cv2.INTER_CUBIC
        )
    return images.encode_jpeg(np.clip(picture + 128, 0, 255).astype(np.uint8), 95)


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


def _leakage() -> Iterator[Measured]:
    """Ten million hashes against a hundred thousand, in batches as the step does it, on two threads."""
    use_threads(2)
    random = np.random.default_rng(0)
    references = random.integers(0, 256, (BENCHMARK_HASHES, 32), np.uint8)
    started = time.perf_counter()
    index = NearHashes(references)
    for _ in range(CATALOGUE_HASHES // HASHES_A_BATCH):
        queries = random.integers(0, 256, (HASHES_A_BATCH, 32), np.uint8)
        list(index.near(queries))
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sample = references[:SAMPLED_HASHES]
    started = time.perf_counter()
    brute = _brute_force(sample, references)
    brute_seconds = (time.perf_counter() - started) * CATALOGUE_HASHES / SAMPLED_HASHES
    assert brute == [tuple(match) for match in index.near(sample)]
    yield ("leakage_search_seconds", seconds, "s", "brute force, from a sample", brute_seconds)
    yield ("leakage_search_peak_mb", peak, "MB", "the catalogue's hashes", CATALOGUE_HASHES * 32 / 2**20)


def _planted() -> Iterator[Measured]:
    """Shares of planted copies that are found, and how many of other images are wrongly taken for one."""
    originals = [images.decode(_photo(number)) for number in range(PLANTED)]
    index = NearHashes(_hashes(originals))
    changed: dict[str, Callable[[images.RgbImage], images.RgbImage]] = {
        "as_is": lambda image: image,
        "quality_60": lambda image: images.decode(images.encode_jpeg(image, 60)),
        "half": lambda image: np.asarray(cv2.resize(image, (360, 270), interpolation=cv2.INTER_AREA), np.uint8),
        "border": lambda image: np.asarray(cv2.copyMakeBorder(image, 14, 14, 14, 14, cv2.BORDER_CONSTANT), np.uint8),
    }
    for name, change in changed.items():
        found = {match.query for match in index.near(_hashes([change(image) for image in originals]))}
        yield (f"leakage_recall_{name}", len(found) / PLANTED, "", f"{PLANTED} planted images", 1.0)
    wrong = 0
    for start in range(0, OTHERS, PLANTED):
        others = [images.decode(_photo(PLANTED + start + number, 240, 180)) for number in range(PLANTED)]
        wrong += len({match.query for match in index.near(_hashes(others))})
    yield ("leakage_wrongly_removed", wrong, "", f"{OTHERS} other images", OTHERS)


def _hashes(pictures: list[images.RgbImage]) -> np.ndarray:
    return np.frombuffer(bytes.fromhex("".join(images.pdq(picture) or "" for picture in pictures)), np.uint8).reshape(
        -1, 32
    )


def _brute_force(queries: np.ndarray, references: np.ndarray) -> list[tuple[int, int, int]]:
    import faiss

    index = faiss.IndexBinaryFlat(256)
    index.add(references)
    limits, distances, found = index.range_search(queries, MAX_DISTANCE + 1)
    query = np.repeat(np.arange(len(queries)), np.diff(limits.astype(np.int64)))
    return sorted(zip(query.tolist(), found.tolist(), distances.astype(int).tolist(), strict=True))


def _dedup() -> Iterator[Measured]:
    """Finding the repeated among twenty million pictures as `twins.sql` does, beside grouping by the text."""
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "downloads.parquet"
        with tables.connect(DEDUP_MEMORY_MB, 2) as connection:
            connection.execute(
                "COPY (SELECT md5('uuid' || range) AS uuid, md5('picture' || CASE WHEN range % 20 = 0 THEN range // 40 "
                f"ELSE range + {DEDUP_ROWS} END) AS md5 FROM range({DEDUP_ROWS})) TO {tables.literal(table)} "
                "(FORMAT parquet, COMPRESSION zstd)"
            )
        ours, theirs = (_in_process(table, way) for way in ("ours", "plain"))
    yield ("md5_dedup_seconds", ours[0], "s", "row_number over the md5's text", theirs[0])
    yield ("md5_dedup_peak_mb", ours[1], "MB", "row_number over the md5's text", theirs[1])


def _in_process(table: Path, way: str) -> tuple[float, float]:
    """Seconds and peak memory (MB) of one way, in a process of its own."""
    words = [sys.executable, __file__, str(table), way]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    seconds, peak = subprocess.run(words, capture_output=True, text=True, check=True, env=environment).stdout.split()
    return float(seconds), float(peak)


def dedup(connection: duckdb.DuckDBPyConnection, table: Path, way: str) -> None:
    """List the duplicates of a table in one of two ways: as `twins.sql` does, or in one window over all columns."""
    source = tables.scan(table)
    if way == "plain":
        connection.execute(
            "CREATE TEMP TABLE duplicates AS SELECT uuid FROM "
            f"(SELECT uuid, row_number() OVER (PARTITION BY md5 ORDER BY uuid) AS n FROM {source}) WHERE n > 1"
        )
        return
    pictures = f"(SELECT uuid, CAST(md5 AS UUID) AS picture FROM {source})"
    connection.execute(
        f"CREATE TEMP TABLE repeated AS SELECT picture FROM {pictures} GROUP BY picture HAVING count(*) > 1"
    )
    connection.execute(f"CREATE TEMP TABLE twins AS SELECT * FROM {pictures} SEMI JOIN repeated USING (picture)")
    connection.execute(
        "CREATE TEMP TABLE duplicates AS SELECT twins.uuid FROM twins INNER JOIN "
        "(SELECT picture, min(uuid) AS survivor FROM twins GROUP BY picture) AS survivors USING (picture) "
        "WHERE uuid <> survivor"
    )


def _epoch(photos: list[bytes]) -> Iterator[Measured]:
    """Bytes of the same samples as our shard and as one in the published layout."""
    texts = published_members(
        Taxon.from_row(
            {
                "kingdom": "Animalia", "phylum": "Chordata", "class": "Aves", "order": "Passeriformes",
                "family": "Corvidae", "genus": "Pica", "species": "hudsonia", "scientific_name": "Pica hudsonia",
                "common_name": "black-billed magpie",
            }
        )
    )  # fmt: skip
    published = {extension: text.encode() for extension, text in texts.items()}
    samples = [(f"{number:032x}", _ours(photo)) for number, photo in enumerate(photos)]
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Path(folder) / "ours.tar", Path(folder) / "theirs.tar"
        tars.write_tar(ours, ((key, {"jpg": jpeg, "label_id.txt": b"0" * 32}) for key, jpeg in samples))
        tars.write_tar(theirs, ((key, {"jpg": jpeg, **published}) for key, jpeg in samples))
        # A reader of ours takes the images by their places; one of the published layout reads the tar through.
        read = sum(len(jpeg) for _, jpeg in samples)
        yield (
            "epoch_bytes",
            read / len(samples),
            "B",
            "reference layout, read through",
            theirs.stat().st_size / len(samples),
        )
        yield (
            "shard_bytes",
            ours.stat().st_size / len(samples),
            "B",
            "reference layout",
            theirs.stat().st_size / len(samples),
        )


if __name__ == "__main__":
    with tables.connect(DEDUP_MEMORY_MB, 2) as connected:
        began = time.perf_counter()
        dedup(connected, Path(sys.argv[1]), sys.argv[2])
        took = time.perf_counter() - began
    sys.stdout.write(f"{took} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}\n")
