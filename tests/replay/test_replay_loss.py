"""Replay pairs that failed to download stop a run before their shards are written."""

from pathlib import Path
from typing import Any

import pytest

from tests.messages import says
from workflow_scripts.common import tables
from workflow_scripts.common.config.loss import LossSettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.contracts import DOWNLOADS
from workflow_scripts.replay.loss import check_loss


def check(folder: Path, rows: list[dict[str, Any]], **max_loss: Any) -> None:
    manifest = folder / "part-0000/manifest.parquet"
    numbered = [{"uuid": str(number), "attempts": 1} | row for number, row in enumerate(rows)]
    tables.write_rows(numbered, DOWNLOADS, manifest)
    check_loss(manifests=(manifest,), max_loss=LossSettings(**max_loss), out=folder / "loss.json")


GOOD: dict[str, Any] = {"host": "a.org", "status": "ok"}
GONE = {"host": "a.org", "status": "failed", "error": "http_error: 404", "http_status": 404}
LATE = {"host": "b.org", "status": "failed", "error": "timeout: 20 s"}
LARGE = {"host": "a.org", "status": "deferred", "error": "needs_memory: 91 MiB for 4000 x 3000 pixels"}


def test_pairs_lost_by_cause_and_host_with_what_another_try_may_bring(tmp_path: Path) -> None:
    rows = [GOOD, GONE, GONE, LATE]
    with pytest.raises(InputError) as caught:
        check(tmp_path, rows)
    said = str(caught.value)
    assert says(said, "replay", "3 of 4 pairs", "75 %", "http_error 2 at a.org", "timeout 1 at b.org", str(tmp_path))
    assert says(said, "retry_failed", " 1 of them", "max_loss.sources.replay: 0.75")
    check(tmp_path, rows, sources={"replay": 0.75})
    check(tmp_path, [*rows, GOOD, GOOD])


def test_no_pairs_at_all_stop_whatever_may_be_lost(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        check(tmp_path, [GONE, GONE], sources={"replay": 1})
    said = str(caught.value)
    assert says(said, "none of the 2 pairs", "http_error 2 at a.org", "remove `replay`", "train.replay_batch")
    assert "retry_failed" not in said
    assert "max_loss" not in said, "it is set, and no share lets a run go on without pairs"


def test_pairs_that_need_more_memory_need_a_higher_limit_to_be_retried(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        check(tmp_path, [GOOD, LARGE, LARGE, LATE])
    assert says(str(caught.value), "needs_memory 2", "retry_failed", " 1 of them", "image_memory_mb", " 2 of them")
