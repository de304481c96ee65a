"""A benchmark added after a corpus was built is scored with and without its images in the corpus."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.curate.inputs import leak
from workflow_scripts.common import tables
from workflow_scripts.common.errors import InputError
from workflow_scripts.contracts import LEAKAGE, PREDICTIONS, VERDICTS
from workflow_scripts.evaluate.leaked_scores import leaked_scores


def write(folder: Path, correct: list[bool]) -> dict[str, Any]:
    tables.write_rows(
        [leak("kept", positions=[0, 1]), leak("dropped", positions=[2]), leak("kept", benchmark="fish", positions=[3])],
        LEAKAGE,
        folder / "leakage.parquet",
    )
    verdicts = [{"uuid": uuid, "label_id": "l", "keep": uuid == "kept", "part": 0} for uuid in ("kept", "dropped")]
    tables.write_rows(verdicts, VERDICTS, folder / "verdicts.parquet")
    path = folder / "mine" / "birds.predictions.parquet"
    rows = [
        {"position": n, "image": f"{n}.jpg", "class": "c", "predicted": "c", "score": 0.5, "correct": right}
        for n, right in enumerate(correct)
    ]
    tables.write_rows(rows, PREDICTIONS, path)
    return {
        "benchmark": "birds",
        "leakage": (folder / "leakage.parquet",),
        "verdicts": (folder / "verdicts.parquet",),
        "predictions": (path,),
        "out": folder / "birds.json",
    }


def test_leaked_images_are_those_that_the_corpus_keeps(tmp_path: Path) -> None:
    leaked_scores(**write(tmp_path, [True, True, False, False, True, False]))
    assert json.loads((tmp_path / "birds.json").read_text()) == {
        "benchmark": "birds",
        "leaked_images": 2,
        "models": {"mine": {"images": 6, "top1": 0.5, "top1_leaked": 1.0, "top1_without": 0.25}},
    }


def test_predictions_of_another_benchmark_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no prediction for image 1"):
        leaked_scores(**write(tmp_path, [True]))
