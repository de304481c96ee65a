"""Benchmark images in the catalog are found, even if their files were changed; other images are kept."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as tries
from hypothesis import strategies as st

from workflow_scripts.common import images, tables
from workflow_scripts.common.accounts import read_account
from workflow_scripts.common.pdq_distance import MAX_DISTANCE
from workflow_scripts.contracts import BENCHMARK_IMAGES, GATHERED_DOWNLOADS, LEAKAGE
from workflow_scripts.curate.hashes import NearHashes
from workflow_scripts.curate.leakage import find_leakage

PLANTED = 200


def photo(number: int) -> images.RgbImage:
    """A picture with large and small forms, no two alike."""
    random = np.random.default_rng(number)
    picture = np.zeros((320, 440, 3))
    for cells in (3, 9, 27):
        picture += cv2.resize(
            random.normal(0, 60 / cells**0.5, (cells, cells, 3)), (440, 320), interpolation=cv2.INTER_CUBIC
        )
    return np.clip(picture + 128, 0, 255).astype(np.uint8)


def border(picture: images.RgbImage) -> images.RgbImage:
    _height, width = picture.shape[:2]
    rim = round(0.02 * width)
    return np.asarray(cv2.copyMakeBorder(picture, rim, rim, rim, rim, cv2.BORDER_CONSTANT, value=(255, 255, 255)))


def hashed(jpeg: bytes) -> dict[str, Any]:
    return {"md5": hashlib.md5(jpeg).hexdigest(), "pdq": images.pdq(images.decode(jpeg))}


def download(uuid: str, **hashes: Any) -> dict[str, Any]:
    place = {"tar": "images-00000.tar", "offset": 512, "size": 9, "part": 0}
    return {"uuid": uuid, "status": "ok", "attempts": 1} | place | hashes


def picture(number: int, **hashes: Any) -> dict[str, Any]:
    return {"position": number, "image": f"{number}.jpg", "path": f"/b/{number}.jpg", "class": "c"} | hashes


def search(
    folder: Path, downloads: Sequence[dict[str, Any]], **benchmarks: Sequence[dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """The leaks by uuid; each may be of one benchmark only."""
    tables.write_rows(downloads, GATHERED_DOWNLOADS, folder / "g000.parquet")
    for name, rows in benchmarks.items():
        tables.write_rows(rows, BENCHMARK_IMAGES, folder / f"{name}.parquet")
    find_leakage(
        downloads=folder / "g000.parquet",
        benchmarks={name: folder / f"{name}.parquet" for name in benchmarks},
        out=folder / "leakage.parquet",
        account=folder / "account.json",
    )
    rows = tables.read_rows(folder / "leakage.parquet", LEAKAGE).to_pylist()
    assert len({row["uuid"] for row in rows}) == len(rows)
    return {row["uuid"]: row for row in rows}


@pytest.mark.slow
def test_planted_images_are_found_as_they_are_recompressed_and_halved(tmp_path: Path) -> None:
    benchmark, catalogue = [], []
    for number in range(PLANTED):
        original = photo(number)
        jpeg = images.encode_jpeg(original, 95)
        benchmark.append(picture(number, **hashed(jpeg)))
        halved = np.asarray(cv2.resize(original, (220, 160), interpolation=cv2.INTER_AREA), np.uint8)
        for name, planted in (
            ("same", jpeg),
            ("again", images.encode_jpeg(original, 60)),
            ("half", images.encode_jpeg(halved, 90)),
            ("border", images.encode_jpeg(border(original), 95)),
        ):
            catalogue.append(download(f"{name}-{number}", **hashed(planted)))
    others = [download(f"other-{n}", **hashed(images.encode_jpeg(photo(1000 + n), 95))) for n in range(500)]
    found = search(tmp_path, [*catalogue, *others], birds=benchmark)
    by_kind = {
        kind: [row for uuid, row in found.items() if uuid.startswith(f"{kind}-")] for kind in ("same", "again", "half")
    }
    assert {kind: len(rows) for kind, rows in by_kind.items()} == {"same": PLANTED, "again": PLANTED, "half": PLANTED}
    for uuid, row in found.items():
        kind, number = uuid.split("-")
        assert kind != "other"
        assert row["same_bytes"] == (kind == "same")
        assert row["image"] == f"{number}.jpg"
    account = read_account(tmp_path / "account.json")
    assert account.dropped["same_bytes"] == PLANTED
    assert account.rows_in == len(catalogue) + len(others)


@pytest.mark.parametrize("useless", [None, "0" * 64, "f" * 64, "", "not a hash"])
def test_an_invalid_hash_matches_nothing_and_is_counted(tmp_path: Path, useless: str | None) -> None:
    found = search(
        tmp_path,
        [download("blank", md5="a", pdq=useless), download("copy", md5="b", pdq=useless)],
        birds=[picture(1, md5="x", pdq=useless), picture(2, md5="b", pdq=useless)],
    )
    assert set(found) == {"copy"}
    notes = read_account(tmp_path / "account.json").notes
    assert notes["images without a usable hash"] == notes["benchmark images without a usable hash"] == 2


def test_ten_bits_are_near_and_eleven_are_not(tmp_path: Path) -> None:
    def turned(bits: int) -> str:
        # One bit in each of that many pieces.
        return f"{int('a5' * 32, 16) ^ sum(1 << (23 * bit) for bit in range(bits)):064x}"

    found = search(
        tmp_path,
        [download("ten", md5="1", pdq=turned(10)), download("eleven", md5="2", pdq=turned(11))],
        birds=[picture(1, md5="x", pdq=turned(0))],
    )
    assert {uuid: row["distance"] for uuid, row in found.items()} == {"ten": 10}


def test_the_nearest_of_several_images_is_named_and_the_others_are_counted(tmp_path: Path) -> None:
    near = f"{int('a5' * 32, 16) ^ 7:064x}"
    found = search(
        tmp_path,
        [download("copy", md5="1", pdq="a5" * 32), download("twin", md5="1", pdq="a5" * 32)],
        birds=[picture(1, md5="x", pdq=near), picture(2, md5="y", pdq="a5" * 32), picture(3, md5="z", pdq=near)],
    )
    assert {uuid: (row["position"], row["distance"], row["positions"]) for uuid, row in found.items()} == {
        "copy": (2, 0, [1, 2, 3]),
        "twin": (2, 0, [1, 2, 3]),
    }


def test_without_benchmarks_nothing_leaks(tmp_path: Path) -> None:
    assert search(tmp_path, [download("a", md5="1", pdq="a5" * 32)]) == {}


@tries(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), bits=st.integers(0, 24))
def test_the_search_finds_what_brute_force_finds(seed: int, bits: int) -> None:
    random = np.random.default_rng(seed)
    references = random.integers(0, 256, (40, 32), np.uint8)
    flips = np.zeros((40, 256), np.uint8)
    for row in flips:
        row[random.choice(256, bits, replace=False)] = 1
    queries = references ^ np.packbits(flips, axis=1)
    distances = np.unpackbits(queries[:, None] ^ references[None], axis=2).sum(axis=2)
    wanted = [(q, r, int(distances[q, r])) for q, r in np.argwhere(distances <= MAX_DISTANCE)]
    assert [tuple(match) for match in NearHashes(references).near(queries)] == wanted
