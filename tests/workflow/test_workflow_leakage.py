"""For a benchmark added after the corpus, leaked images are reported, and scores with and without them."""

import csv
import json
from typing import Any

import pytest

from workflow_scripts.common.tables import read_rows
from workflow_scripts.common.tars import read_at
from workflow_scripts.contracts import VERDICTS

pytestmark = pytest.mark.slow

CORPUS = "results/corpora/micro"


def test_a_later_benchmark_is_reported_on_and_rebuilds_nothing(finished: Any) -> None:
    """Four images that the corpus trains on, and four of a benchmark that it was kept clean of."""
    folder = finished.path("later")
    folder.mkdir()
    verdicts = read_rows(finished.path(f"{CORPUS}/curate/g000/verdicts.parquet"), VERDICTS).to_pylist()
    for number, row in enumerate([row for row in verdicts if row["keep"]][:4]):
        with finished.path(f"{CORPUS}/download/part-{row['part']:04d}/{row['tar']}").open("rb") as tar:
            (folder / f"{number}.jpg").write_bytes(read_at(tar, row["offset"], row["size"]))
    clean = sorted(finished.path("results/world/micro/benchmarks/insects/images").rglob("*.jpg"))[:4]
    for number, image in enumerate(clean, 4):
        (folder / f"{number}.jpg").write_bytes(image.read_bytes())
    with (folder / "labels.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerows([["", "filepath", "class"], *([n, f"{n}.jpg", f"kind {n % 2}"] for n in range(8))])
    later = "benchmarks={later: {layout: csv, labels: later/labels.csv, images: later, text_type: asis, shots: []}}"
    wanted = "results/runs/micro/leakage/later.json"
    planned = finished.planned(wanted, "--config", later)
    assert set(planned) == {"benchmark_index", "embed", "eval_later", "leakage_search", "leakage_scores"}
    finished.run(wanted, "--config", later)
    report = json.loads(finished.path(wanted).read_text())
    assert report["leaked_images"] == 4
    for model in ("micro", "start"):
        scores = report["models"][model]
        assert scores["images"] == 8
        assert scores["top1"] == pytest.approx((scores["top1_without"] + scores["top1_leaked"]) / 2)
