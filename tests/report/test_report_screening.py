"""The report shows the judges' findings, so that a person can set thresholds, but never a face."""

import base64
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from workflow_scripts.common.config.screen import Refusals
from workflow_scripts.common.tables import write_rows
from workflow_scripts.common.tars import write_tar
from workflow_scripts.contracts import FINDINGS, GATHERED_DOWNLOADS
from workflow_scripts.report.build import build
from workflow_scripts.report.crate import without_screening
from workflow_scripts.report.screening import BINS, SHOWN, Screened, read_screening

REFUSALS = Refusals.model_validate(
    {
        "rules": [
            {"judge": "museum", "label": "page", "reason": "page", "at_least": 0.5},
            {"judge": "people", "label": "face", "reason": "face", "at_least": 0.9},
            {"judge": "traps", "label": "animal", "reason": "empty", "below": 0.2},
        ]
    }
)


def checked(number: int) -> bytes:
    """A picture of fine stripes, which pixelation removes."""
    pixels = np.zeros((120, 120, 3), np.uint8)
    pixels[:, number % 2 :: 4] = 255
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "JPEG", quality=95)
    return data.getvalue()


@pytest.fixture
def screened(tmp_path: Path) -> dict[str, Any]:
    """Findings of three judges on twenty images of two sources, in one tar."""
    names = [f"u{number:02d}" for number in range(20)]
    places = write_tar(
        tmp_path / "download/part-0000/a.tar", [(name, {"jpg": checked(n)}) for n, name in enumerate(names)]
    )
    downloads, findings = [], []
    for number, (name, place) in enumerate(zip(names, places, strict=True)):
        spot = {"part": 0, "tar": "a.tar", "offset": place["jpg"].offset, "size": place["jpg"].size}
        downloads.append({"uuid": name, "status": "ok", "attempts": 1, "md5": name} | spot)
        of = {"uuid": name, "data_source": "gbif" if number % 2 else "eol"}
        if number == 19:
            findings.append(of | {"judge": "museum", "label": "unjudged", "error": "torn"})
            continue
        findings.append(of | {"judge": "museum", "label": "page" if number < 12 else "plant", "score": number / 20})
        if number < 6:
            findings.append(of | {"judge": "people", "label": "face", "score": 0.8 + number / 30})
        if number >= 14:
            for label, score in (("animal", (number - 14) / 10), ("person", 0.9 if number == 15 else 0.0)):
                findings.append(of | {"judge": "traps", "label": label, "score": score})
    write_rows(downloads, GATHERED_DOWNLOADS, tmp_path / "g000.parquet")
    paths = []
    for judge in ("museum", "people", "traps"):
        paths.append(tmp_path / f"{judge}.parquet")
        write_rows([row for row in findings if row["judge"] == judge], FINDINGS, paths[-1])
    return {"findings": tuple(paths), "gathered": (tmp_path / "g000.parquet",), "downloads": tmp_path / "download"}


@pytest.fixture
def judges(screened: dict[str, Any]) -> dict[str, Screened]:
    return {one.judge: one for one in read_screening(refusals=REFUSALS, **screened)}


def test_counts_are_by_class_and_source_and_exact(judges: dict[str, Screened]) -> None:
    museum = judges["museum"]
    assert (museum.images, museum.unjudged) == (20, 1)
    assert museum.counts == (
        ("page", "eol", 6, 1), ("page", "gbif", 6, 1), ("plant", "eol", 4, 0), ("plant", "gbif", 3, 0),
        ("unjudged", "gbif", 1, 0),
    )  # fmt: skip
    assert {label: sum(bars) for label, bars in museum.histograms.items()} == {"page": 12, "plant": 7}
    assert all(len(bars) == BINS for bars in museum.histograms.values())
    # Half of the animal scores are below the threshold; in one image, the highest score is a person's.
    assert judges["traps"].counts == (("animal", "eol", 3, 1), ("animal", "gbif", 1, 0), ("person", "gbif", 1, 1))


def test_the_images_nearest_to_the_threshold_are_shown_on_both_sides(judges: dict[str, Screened]) -> None:
    (threshold,) = judges["museum"].thresholds
    assert [near.uuid for near in threshold.refused] == ["u10", "u11"]
    assert [near.uuid for near in threshold.kept] == [f"u{number:02d}" for number in range(9, 9 - SHOWN, -1)]
    (empty,) = judges["traps"].thresholds
    assert ([near.uuid for near in empty.refused], empty.kept[0].uuid) == (["u15", "u14"], "u16")


def is_coarse(data_uri: str) -> bool:
    """Whether the fine stripes are gone."""
    with Image.open(io.BytesIO(base64.b64decode(data_uri.partition(",")[2]))) as image:
        return float(np.asarray(image.convert("L"), np.float32).std()) < 30


def test_images_that_may_show_a_person_are_pixelated(judges: dict[str, Screened]) -> None:
    shown = {
        (one.judge, near.uuid): is_coarse(near.thumbnail)
        for one in judges.values()
        for threshold in one.thresholds
        for near in (*threshold.refused, *threshold.kept)
    }
    assert {key for key, coarse in shown.items() if coarse} == {
        key for key in shown if key[0] == "people" or key[1] in {"u15", *(f"u{number:02d}" for number in range(6))}
    }
    assert any(not coarse for coarse in shown.values())


def test_the_page_shows_findings_and_the_published_copy_does_not(
    screened: dict[str, Any], everything: Callable[[], dict[str, Any]], tmp_path: Path
) -> None:
    build(**everything() | screened | {"refusals": REFUSALS, "out": tmp_path / "with.html"})
    build(**everything() | {"out": tmp_path / "without.html"})
    page, plain = ((tmp_path / name).read_text() for name in ("with.html", "without.html"))
    for text in ("museum", "not judged", "closest to the threshold", "u10"):
        assert text in page
    uuids = re.compile(r"\bu\d\d\b")
    assert uuids.search(page)
    given = without_screening(page)
    assert not uuids.search(given)
    assert "screening" not in given.lower().replace("screening-", "")
    assert without_screening(plain) == plain
