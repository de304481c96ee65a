"""Verification reports each missing or changed file, and nothing else."""

import io
import json
import shutil
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from tests.curate.pipeline import Pipeline
from tests.messages import says
from workflow_scripts.common import tables
from workflow_scripts.common.errors import InputError
from workflow_scripts.contracts import LEDGER, SHARD_INDEX, SHARD_MANIFEST, VERDICTS
from workflow_scripts.shards.verify import verify


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pipeline = Pipeline(tmp_path_factory.mktemp("built"))
    pipeline.catalog(0, range(60))
    pipeline.build(0)
    return pipeline.corpus


@pytest.fixture
def corpus(built: Path, tmp_path: Path) -> Path:
    shutil.copytree(built, tmp_path / "corpus")
    return tmp_path / "corpus"


def check(corpus: Path) -> list[str]:
    """The problems that verification reports."""
    printed = io.StringIO()
    try:
        with redirect_stdout(printed):
            verify(**arguments(corpus), json_lines=True)
    except InputError as error:
        found = json.loads(printed.getvalue())
        wrong = found["problems"]
        assert found["complete"] is False
        assert wrong[0] in str(error)
        assert str(error).startswith(f"{len(wrong)} problems") == (len(wrong) > 1)
        return list(wrong)
    found = json.loads(printed.getvalue())
    images = len(uuids(corpus, "train")) + len(uuids(corpus, "val"))
    assert (found["complete"], found["images"], found["download_parts"]) == (True, images, 2)
    return list(found["problems"])


def arguments(corpus: Path) -> dict[str, Any]:
    return {
        "shards": (corpus / "shards/g000",),
        "verdicts": (corpus / "curate/g000/verdicts.parquet",),
        "downloads": tuple(sorted(corpus.glob("download/part-*/manifest.parquet"))),
        "work": corpus / ".work/download",
        "others": tuple(corpus / f"catalog/g000/part-000{part}.parquet" for part in range(2)),
        "ledger": corpus / "ledger.parquet",
        "jobs": 2,
    }


def test_a_whole_corpus_passes(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(corpus) == []
    verify(**arguments(corpus))
    said = capsys.readouterr().out
    images = len(uuids(corpus, "train")) + len(uuids(corpus, "val"))
    assert says(
        said, "all shards and download tars are complete", f"{images} training and validation images", "2 download"
    )


def test_a_corpus_without_images_does_not_pass(corpus: Path) -> None:
    for split in ("train", "val"):
        folder = corpus / "shards/g000" / split
        for shard in folder.glob("*.tar"):
            shard.unlink()
        tables.write_rows([], SHARD_MANIFEST, folder / "manifest.parquet")
        tables.write_rows([], SHARD_INDEX, folder / "index.parquet")
    tables.write_rows([], VERDICTS, corpus / "curate/g000/verdicts.parquet")
    with pytest.raises(InputError, match="no image"):
        verify(shards=(corpus / "shards/g000",), verdicts=(corpus / "curate/g000/verdicts.parquet",))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[700] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2000])


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("shards/g000/train/shard-000001.tar", Path.unlink),
        ("shards/g000/train/shard-000001.tar", flip),
        ("shards/g000/val/shard-000000.tar", cut),
        ("shards/g000/val/index.parquet", Path.unlink),
        ("download/part-0001/images-00000.tar", Path.unlink),
        ("download/part-0000/images-00001.tar", lambda path: path.write_bytes(b"")),
        ("download/part-0000/images-00001.tar", flip),
        ("catalog/g000/part-0001.parquet", cut),
        ("catalog/g000/part-0000.parquet", Path.unlink),
        ("curate/g000/verdicts.parquet", Path.unlink),
    ],
)
def test_each_lost_or_changed_file_is_named_alone(corpus: Path, name: str, damage: Callable[[Path], None]) -> None:
    damage(corpus / name)
    found = check(corpus)
    assert len(found) == 1
    assert found[0].startswith(f"{corpus / name}: ")


def test_a_kept_image_without_a_sample_and_a_sample_without_a_verdict_are_named(corpus: Path) -> None:
    path = corpus / "curate/g000/verdicts.parquet"
    rows = tables.read_rows(path, VERDICTS).to_pylist()
    lost, dropped, moved = [row for row in rows if row["keep"]][:3]
    lost["uuid"] = "new"
    dropped |= {"keep": False, "split": None, "reason": "duplicate"}
    there = moved["split"]
    moved["split"] = "val" if there == "train" else "train"
    tables.write_rows(rows, VERDICTS, path)
    found = "\n".join(check(corpus))
    assert "image new is in no samples" in found
    assert f"image {dropped['uuid']} is in {'train' if dropped['uuid'] in uuids(corpus, 'train') else 'val'}" in found
    assert any(says(line, f"image {moved['uuid']} is in {there}", moved["split"]) for line in found.splitlines())


def test_images_taken_down_are_not_missing_before_their_verdict_is_renewed(corpus: Path) -> None:
    path = corpus / "curate/g000/verdicts.parquet"
    rows = tables.read_rows(path, VERDICTS).to_pylist()
    gone, lost = [row for row in rows if row["keep"]][:2]
    gone["uuid"], lost["uuid"] = "gone", "lost"
    tables.write_rows(rows, VERDICTS, path)
    record = {"uuid": "gone", "md5": None, "generation": 0, "split": "train", "date": "2026-11-22", "reason": "asked"}
    tables.write_rows([record], LEDGER, corpus / "ledger.parquet")
    missed = [line for line in check(corpus) if "is in no samples" in line]
    assert [line.split(" image ")[1].split()[0] for line in missed] == ["lost"]


def uuids(corpus: Path, split: str) -> set[str]:
    return set(tables.read_rows(corpus / f"shards/g000/{split}/index.parquet", SHARD_INDEX)["uuid"].to_pylist())


def test_a_sample_that_the_index_places_elsewhere_is_named(corpus: Path) -> None:
    path = corpus / "shards/g000/train/index.parquet"
    rows = tables.read_rows(path, SHARD_INDEX).to_pylist()
    rows[0]["uuid"], rows[1]["uuid"] = rows[1]["uuid"], rows[0]["uuid"]
    tables.write_rows(rows, SHARD_INDEX, path)
    (line,) = check(corpus)
    assert says(line, f"{corpus}/shards/g000/train/shard-000000.tar: ", "webdataset", "index")


def test_the_small_split_is_searched_and_an_unreadable_table_hides_nothing_else(corpus: Path) -> None:
    small = corpus / "shards/g000/train_small"
    (small / "shard-000000.tar").unlink()
    (corpus / "shards/g000/val/manifest.parquet").write_bytes(b"damaged")
    wrong = check(corpus)
    assert says("\n".join(wrong), f"{small / 'shard-000000.tar'}: missing", "`snakemake data -R shards_gather ")
    assert any("val/manifest.parquet" in line for line in wrong)
