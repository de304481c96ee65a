"""A takedown of one owner's images from a finished corpus removes these images only, also from a complete rebuild."""

import shutil
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest

from tests.digests import digests
from workflow_scripts.common.tables import read_rows
from workflow_scripts.contracts import ATTRIBUTION, SHARD_INDEX, VERDICTS

pytestmark = pytest.mark.slow

CORPUS = "results/corpora/micro"
SHARDS = f"{CORPUS}/shards/g000"


def sums(project: Any) -> dict[str, str]:
    return digests(project.folder, f"{SHARDS}/*/shard-*.tar")


def samples(project: Any) -> dict[str, str]:
    """The shard of each image."""
    rows = [
        row | {"split": split}
        for split in ("train", "val")
        for row in read_rows(project.path(f"{SHARDS}/{split}/index.parquet"), SHARD_INDEX).to_pylist()
    ]
    return {row["uuid"]: f"{SHARDS}/{row['split']}/{row['shard']}" for row in rows}


def test_an_owner_is_gone_from_the_corpus_for_good(copy: Any) -> None:
    attribution = read_rows(copy.path(f"{CORPUS}/curate/g000/attribution.parquet"), ATTRIBUTION).to_pylist()
    owner, _ = min(
        Counter(row["copyright_owner"] for row in attribution if row["copyright_owner"]).items(), key=lambda x: x[::-1]
    )
    named = {row["uuid"] for row in attribution if owner in (row["copyright_owner"], row["creator"])}
    before, placed = sums(copy), samples(copy)
    takedown = [
        sys.executable, "-m", "workflow_scripts.curate.takedown", "--owner", owner, "--corpus", "micro",
        "--results", "results",
    ]  # fmt: skip
    listed = subprocess.run(
        [*takedown, "--dry-run"], cwd=copy.folder, capture_output=True, text=True, check=True
    ).stdout
    assert "1 models\n  results/runs/micro\n" in listed
    assert sums(copy) == before
    subprocess.run(takedown, cwd=copy.folder, check=True)

    copy.run("verify")
    copy.run("data")
    copy.run("verify")
    text = copy.run("-n", "all")
    assert f"{SHARDS}/train changed" in text, "the training is behind"
    assert "train_run" not in copy.planned("all")
    verdicts = read_rows(copy.path(f"{CORPUS}/curate/g000/verdicts.parquet"), VERDICTS).to_pylist()
    gone = {row["uuid"] for row in verdicts if row["reason"] == "taken_down"}
    assert named <= gone
    left = {uuid: shard for uuid, shard in placed.items() if uuid not in gone}
    assert samples(copy) == left
    after = sums(copy)
    affected = {placed[uuid] for uuid in gone if uuid in placed}
    small = {shard.replace("/train/", "/train_small/") for shard in affected}
    assert {shard for shard in before if after[shard] != before[shard]} == (affected | small) & set(before)

    for name in ("download", "curate", "shards", ".work"):
        shutil.rmtree(copy.path(f"{CORPUS}/{name}"))
    copy.run("data")
    copy.run("verify")
    assert samples(copy) == left
    assert sums(copy) == after
