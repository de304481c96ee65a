"""A corpus grows by generations: older files stay the same, byte for byte."""

from pathlib import Path

import pytest

from tests.curate.inputs import verdicts
from tests.curate.pipeline import Pipeline
from tests.digests import digests
from workflow_scripts.common import tables
from workflow_scripts.contracts import SHARD_INDEX


def uuids(index: Path) -> set[str]:
    return set(tables.read_rows(index, SHARD_INDEX)["uuid"].to_pylist())


@pytest.mark.slow
def test_a_second_generation_of_300_images_leaves_the_first_as_it_is(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path)
    pipeline.catalog(0, range(120))
    first = pipeline.build(0)
    before = digests(pipeline.corpus)
    # Numbers up to 119 are files that the corpus has already; another host offers them again.
    pipeline.catalog(1, range(60, 360))
    second = pipeline.build(1)
    after = digests(pipeline.corpus)
    assert {path: after[path] for path in before} == before

    decided = verdicts(pipeline.corpus / "curate/g001/verdicts.parquet")
    assert len(decided) == 300
    duplicates = {uuid: row["detail"] for uuid, row in decided.items() if row["reason"] == "duplicate"}
    assert duplicates == {f"g1-{number:04d}": f"g0-{number:04d}" for number in range(60, 120)}
    assert uuids(second / "train/index.parquet") | uuids(second / "val/index.parquet") == {
        f"g1-{number:04d}" for number in range(120, 360)
    }

    # No specimen is in train of one generation and in val of another.
    folders = [*first.iterdir(), *second.iterdir()]
    specimens = {
        split: {
            int(uuid[3:]) // 2 for folder in folders if folder.name == split for uuid in uuids(folder / "index.parquet")
        }
        for split in ("train", "val")
    }
    assert specimens["val"] and not specimens["train"] & specimens["val"]
