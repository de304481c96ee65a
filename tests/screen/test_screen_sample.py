"""A sample to label by hand, and precision and recall by threshold from the labels."""

import csv
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.screen.conftest import Downloaded
from workflow_scripts.common import tables
from workflow_scripts.common.config.screen import Refusal, Refusals
from workflow_scripts.common.errors import InputError
from workflow_scripts.contracts import DOWNLOADS, GATHERED_DOWNLOADS
from workflow_scripts.screen.clip import judge_by_class
from workflow_scripts.screen.sample import Drawn, points, sample

RULES = Refusals(rules=[Refusal(judge="museum", label="a", reason="a", at_least=0.0)])


def image(number: int, score: float, truth: str, weight: float = 1.0, label: str = "page") -> Drawn:
    return Drawn(f"u{number}", label, {label: score}, weight, "", truth)


def test_precision_and_recall_count_each_image_for_those_that_it_stands_for() -> None:
    drawn = [
        image(0, 0.9, "page"),
        image(1, 0.8, "page"),
        image(2, 0.7, "plant"),
        image(3, 0.6, "page"),
        image(4, 0.99, ""),
        # Each drawn plant represents ten; one of them is a page that the judge took for a plant.
        image(5, 0.5, "page", 10.0, "plant"),
        image(6, 0.4, "plant", 10.0, "plant"),
    ]
    found = points(drawn, Refusal(judge="m", label="page", reason="page", at_least=0.75))
    assert [point.threshold for point in found] == [0.6, 0.7, 0.75, 0.8, 0.9]
    assert [point.precision for point in found] == pytest.approx([3 / 4, 2 / 3, 1, 1, 1])
    assert [point.recall for point in found] == pytest.approx([3 / 13, 2 / 13, 2 / 13, 2 / 13, 1 / 13])
    frames = [Drawn(f"u{n}", "animal", {"animal": score}, 1.0, "", truth) for n, (score, truth) in enumerate(
        [(0.05, "empty"), (0.15, "animal"), (0.3, "empty"), (0.9, "animal")]
    )]  # fmt: skip
    empty = points(frames, Refusal(judge="m", label="animal", reason="empty", below=0.2))
    assert [(point.threshold, point.precision, point.recall) for point in empty][2] == (0.2, 1 / 2, 1 / 2)
    assert empty[0].precision is None


@pytest.fixture
def judged(corpus: Downloaded, model: str, tmp_path: Path) -> dict[str, object]:
    random = np.random.default_rng(2)
    save_file({name: random.normal(size=16).astype(np.float32) for name in "ab"}, tmp_path / "classes.safetensors")
    judge_by_class(model=model, classes=tmp_path / "classes.safetensors", group=corpus.group("museum"))
    rows = [
        row | {"part": part}
        for part in (0, 1)
        for row in tables.read_rows(corpus.manifest(part), DOWNLOADS).to_pylist()
    ]
    tables.write_rows(rows, GATHERED_DOWNLOADS, tmp_path / "gathered.parquet")
    parts = tuple(corpus.folder / "screen" / "museum" / f"part-{part:04d}.parquet" for part in (0, 1))
    return {
        "name": "museum",
        "findings": parts,
        "gathered": (tmp_path / "gathered.parquet",),
        "downloads": corpus.folder / "download",
        "refusals": RULES,
        "count": 3,
    }


def test_the_page_shows_images_of_each_class_and_reads_its_labels_back(
    corpus: Downloaded, judged: dict[str, object], tmp_path: Path
) -> None:
    out = tmp_path / "sample.html"
    sample(**judged, out=out)
    page = out.read_text()
    labels = {row["uuid"]: row["label"] for row in corpus.findings("museum")}
    shown = [uuid for uuid in labels if f'data-uuid="{uuid}"' in page]
    per_class = {label: sum(labels[uuid] == label for uuid in shown) for label in set(labels.values())}
    assert per_class == {"unjudged": 0} | {
        label: min(3, list(labels.values()).count(label)) for label in set(labels.values()) - {"unjudged"}
    }
    assert page.count("data:image/jpeg") == len(shown)
    assert "by threshold" not in page
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("uuid", "truth"), *((uuid, labels[uuid]) for uuid in shown)])
    sample(**judged, out=tmp_path / "again.html", labels=tmp_path / "labels.csv")
    again = (tmp_path / "again.html").read_text()
    assert "by threshold" in again
    assert again.count(" selected") == len(shown)
    (tmp_path / "labels.csv").write_text("id;truth\n")
    with pytest.raises(InputError, match=r"labels\.csv.*uuid"):
        sample(**judged, out=out, labels=tmp_path / "labels.csv")
