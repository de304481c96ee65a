"""A source image with several boxes is fetched once, and each box is cut out at full resolution."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from workflow_scripts.common import images, tables
from workflow_scripts.contracts import TO_FETCH

BOXES = {
    "a": (10, 20, 300, 200),
    "b": (1500, 1100, 400, 400),
    "c": (0, 0, 1600, 1200),
    "d": (2000, 50, 10, 10),
}


def write(folder: Path, url: str) -> Path:
    rows = [
        {
            "uuid": uuid,
            "source_url": url,
            "host": "" if url.startswith("/") else url.split("/")[2],
            "crop": dict(zip(("x", "y", "width", "height"), box, strict=True)),
        }
        for uuid, box in BOXES.items()
    ]
    rows.append({"uuid": "whole", "source_url": url, "host": rows[0]["host"], "crop": None})
    tables.write_rows(rows, TO_FETCH, folder / "part-0000.parquet")
    return folder / "part-0000.parquet"


def check(run: Any, original: bytes) -> None:
    rows, tars = run.rows(), run.tars()
    full = images.decode(original)
    assert rows["d"]["status"] == "refused"
    assert rows["d"]["error"] == "bad_crop: 10 x 10 at 2000, 50 of 1600 x 1200 pixels"
    for uuid, size in (("a", (300, 200)), ("b", (100, 100)), ("c", (720, 540)), ("whole", (720, 540))):
        row = rows[uuid]
        assert (row["status"], row["md5"]) == ("ok", hashlib.md5(original).hexdigest())
        assert (row["original_width"], row["original_height"]) == (1600, 1200)
        assert (row["width"], row["height"]) == size
    x, y, width, height = BOXES["a"]
    kept = images.decode(tars[rows["a"]["tar"]][rows["a"]["offset"] : rows["a"]["offset"] + rows["a"]["size"]])
    wanted = full[y : y + height, x : x + width]
    assert np.abs(kept.astype(int) - wanted).mean() < 2
    assert rows["a"]["pdq"] == images.pdq(wanted)
    assert rows["c"]["pdq"] == rows["whole"]["pdq"]


def test_a_source_image_is_fetched_once_for_all_its_boxes(
    tmp_path: Path, server: Any, make_run: Any, make_picture: Callable[..., bytes]
) -> None:
    server.asked.clear()
    run = make_run(tmp_path, write(tmp_path, server.url("large/7")))
    run({"images_per_tar": 2})
    assert server.asked["/large/7"] == 1
    check(run, make_picture(7, 1600, 1200))


def test_boxes_are_cut_out_of_local_images_too(
    tmp_path: Path, server: Any, make_run: Any, make_picture: Callable[..., bytes]
) -> None:
    file = tmp_path / "frame.png"
    file.write_bytes(make_picture(8, 1600, 1200, form="PNG"))
    run = make_run(tmp_path, write(tmp_path, os.fspath(file)))
    run()
    check(run, file.read_bytes())


def test_a_failed_source_image_fails_all_its_boxes(tmp_path: Path, server: Any, make_run: Any) -> None:
    run = make_run(tmp_path, write(tmp_path, server.url("broken/7")))
    rows = run()
    assert {(row["status"], row["http_status"]) for row in rows.values()} == {("failed", 500)}
    assert server.asked["/broken/7"] == 2
