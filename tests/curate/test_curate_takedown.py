"""Images that are taken down are removed, stay removed, and nothing else is removed with them."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import webdataset

from tests.curate.inputs import verdicts
from tests.curate.pipeline import Pipeline
from tests.digests import digests
from workflow_scripts.common import tables
from workflow_scripts.common.accounts import read_account
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import sha256_file
from workflow_scripts.common.work_folder import open_work_folder
from workflow_scripts.contracts import DOWNLOADS, LEDGER, SHARD_INDEX, SHARD_MANIFEST
from workflow_scripts.curate import takedown as takedown_module
from workflow_scripts.curate.takedown import takedown
from workflow_scripts.download import forget

OWNER = "owner 7"
# 90 photos, 25 owners.
TAKEN = {"g0-0007", "g0-0032", "g0-0057", "g0-0082"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pipeline = Pipeline(tmp_path_factory.mktemp("built"))
    pipeline.catalog(0, range(90))
    pipeline.build(0)
    return pipeline.results


@pytest.fixture
def pipeline(built: Path, tmp_path: Path) -> Pipeline:
    """A copy without the original's hard links: no step may depend on them."""
    shutil.copytree(built, tmp_path / "results")
    copy = Pipeline(tmp_path / "results")
    # The photos' paths are in the catalog and remain those of the original.
    return copy


def take_down(pipeline: Pipeline, **choice: Any) -> None:
    takedown(corpus="small", results=pipeline.results, **choice)


def shards(pipeline: Pipeline) -> dict[str, str]:
    """Digests of all shards and of the tables beside them."""
    return digests(pipeline.corpus / "shards", "*/train/*", "*/val/*")


def stored(pipeline: Pipeline, uuids: set[str]) -> list[bytes]:
    """The bytes of images in the downloads and in the shards."""
    found = []
    for manifest in sorted(pipeline.corpus.glob("download/part-*/manifest.parquet")):
        for row in tables.read_rows(manifest, DOWNLOADS).to_pylist():
            if row["uuid"] in uuids:
                data = (manifest.parent / row["tar"]).read_bytes()
                found.append(data[row["offset"] : row["offset"] + row["size"]])
    for index in [pipeline.corpus / f"shards/g000/{split}/index.parquet" for split in ("train", "val")]:
        for row in tables.read_rows(index, SHARD_INDEX).to_pylist():
            if row["uuid"] in uuids:
                data = (index.parent / row["shard"]).read_bytes()
                found.append(data[row["offset"] : row["offset"] + row["size"]])
    return found


def test_a_dry_run_lists_and_changes_nothing(pipeline: Pipeline, capsys: pytest.CaptureFixture[str]) -> None:
    before = digests(pipeline.results)
    take_down(pipeline, owner=OWNER, dry_run=True)
    said = capsys.readouterr().out
    assert "4 images\n" in said
    assert all(uuid in said for uuid in TAKEN)
    assert "images-00000.tar" in said
    assert "shard-00000" in said
    take_down(pipeline, owner=OWNER, dry_run=True, json_lines=True)
    found = json.loads(capsys.readouterr().out)
    assert (found["corpus"], found["dry_run"], set(found["affected"]["images"])) == ("small", True, TAKEN)
    assert digests(pipeline.results) == before


def test_an_owner_is_gone_from_every_tar_and_shard_and_the_others_are_untouched(pipeline: Pipeline) -> None:
    gone = stored(pipeline, TAKEN)
    assert len(gone) == 8
    kept_before = stored(pipeline, {f"g0-{n:04d}" for n in range(90)} - TAKEN)
    before = shards(pipeline)
    take_down(pipeline, owner=OWNER)
    for path in pipeline.corpus.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert not any(image in data for image in gone), path
    assert stored(pipeline, {f"g0-{n:04d}" for n in range(90)} - TAKEN) == kept_before
    changed = {name for name, sha in shards(pipeline).items() if before[name] != sha}
    assert 0 < len([name for name in changed if name.endswith(".tar")]) <= len(TAKEN)
    for manifest in pipeline.corpus.glob("shards/g000/*/manifest.parquet"):
        for row in tables.read_rows(manifest, SHARD_MANIFEST).to_pylist():
            tar = manifest.parent / row["shard"]
            assert (tar.stat().st_size, sha256_file(tar)) == (row["bytes"], row["sha256"])
            assert len(list(webdataset.WebDataset(str(tar), shardshuffle=False))) == row["samples"]
    account = read_account(pipeline.corpus / "download/part-0000/account.json")
    assert account.dropped["taken_down"] + account.kept == account.rows_in
    rows = {row["uuid"]: row for row in tables.read_rows(pipeline.ledger, LEDGER).to_pylist()}
    assert set(rows) == TAKEN
    assert all(row["md5"] and row["split"] for row in rows.values())


def test_a_rerun_and_a_rebuild_after_a_takedown_give_the_same_shards(pipeline: Pipeline) -> None:
    before = shards(pipeline)
    val = set(tables.read_rows(pipeline.corpus / "shards/g000/val/index.parquet", SHARD_INDEX)["uuid"].to_pylist())
    take_down(pipeline, owner=OWNER)
    after = shards(pipeline)
    pipeline.build(0)
    assert shards(pipeline) == after != before
    decided = verdicts(pipeline.corpus / "curate/g000/verdicts.parquet")
    assert {uuid for uuid, row in decided.items() if row["reason"] == "taken_down"} == TAKEN
    for name in ("download", "curate", "shards", ".work"):
        shutil.rmtree(pipeline.corpus / name)
    pipeline.build(0)
    assert shards(pipeline) == after
    again = set(tables.read_rows(pipeline.corpus / "shards/g000/val/index.parquet", SHARD_INDEX)["uuid"].to_pylist())
    assert again == val - TAKEN


def test_the_same_bytes_under_another_id_are_not_taken_in_later(pipeline: Pipeline) -> None:
    take_down(pipeline, owner=OWNER)
    pipeline.build(0)
    pipeline.catalog(1, [7, 32, 200], copyright_owner="somebody else")
    pipeline.build(1)
    decided = verdicts(pipeline.corpus / "curate/g001/verdicts.parquet")
    assert {uuid for uuid, row in decided.items() if row["keep"]} == {"g1-0200"}
    manifests = [pipeline.corpus / f"download/part-000{part}/manifest.parquet" for part in (2, 3)]
    rows = [row for path in manifests for row in tables.read_rows(path, DOWNLOADS).to_pylist()]
    assert {row["uuid"] for row in rows if row["error"] and row["error"].startswith("taken_down")} == {
        "g1-0007",
        "g1-0032",
    }


def test_a_part_is_compared_with_what_it_published_and_with_no_other(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = [{"uuid": uuid, "date": "2026-11-30", "reason": "asked for"} for uuid in TAKEN]
    tables.write_rows(taken, LEDGER, tmp_path / "images.parquet")
    for number in range(90, 99):
        shutil.copytree(pipeline.corpus / "download/part-0001", pipeline.corpus / f"download/part-00{number}")
    compared: list[Path] = []
    same = forget.same_bytes

    def noted(one: Path, other: Path) -> bool:
        compared.append(one.parent)
        return same(one, other)

    monkeypatch.setattr("workflow_scripts.download.forget.same_bytes", noted)
    forget.forget(corpus=pipeline.corpus, images=tmp_path / "images.parquet")
    assert {folder.name for folder in compared} == {"part-0000", "part-0001"}
    assert len(compared) == 2
    for part in ("part-0000", "part-0001"):
        rows = tables.read_rows(pipeline.corpus / "download" / part / "manifest.parquet", DOWNLOADS).to_pylist()
        assert all(row["error"] == "taken_down" for row in rows if row["uuid"] in TAKEN)


@pytest.mark.parametrize("killed_in", ["download", "shards"])
def test_an_interrupted_takedown_is_finished_by_the_same_command(
    pipeline: Pipeline, killed_in: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = stored(pipeline, TAKEN)
    real = takedown_module._forget

    def killed(stage: str, words: Any) -> None:
        if stage == killed_in:
            raise KeyboardInterrupt
        real(stage, words)

    with monkeypatch.context() as patched:
        patched.setattr(takedown_module, "_forget", killed)
        with pytest.raises(KeyboardInterrupt):
            take_down(pipeline, owner=OWNER)
    take_down(pipeline, owner=OWNER)
    for path in pipeline.corpus.rglob("*"):
        assert not path.is_file() or not any(image in path.read_bytes() for image in gone), path
    assert set(tables.read_rows(pipeline.ledger, LEDGER)["uuid"].to_pylist()) == TAKEN


def test_url_dataset_and_uuid_choose_as_they_say(
    pipeline: Pipeline, tmp_path: Path, built: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    take_down(pipeline, url=str(built / "photos/0003.jpg"), dry_run=True)
    assert "1 images\n  g0-0003\n" in capsys.readouterr().out
    take_down(pipeline, dataset="set 4", dry_run=True)
    assert "18 images\n" in capsys.readouterr().out
    (tmp_path / "uuids.txt").write_text("g0-0001\n\n g0-0002\n")
    take_down(pipeline, uuid=tmp_path / "uuids.txt", dry_run=True)
    assert "2 images\n  g0-0001\n  g0-0002\n" in capsys.readouterr().out
    (tmp_path / "uuids.txt").write_text("g0-0001\nnobody\n")
    with pytest.raises(InputError, match=r"uuids\.txt: .*\bnobody\b"):
        take_down(pipeline, uuid=tmp_path / "uuids.txt")


def test_bad_requests_are_refused_before_anything_changes(pipeline: Pipeline) -> None:
    before = digests(pipeline.results)
    with pytest.raises(InputError, match="exactly one"):
        take_down(pipeline)
    with pytest.raises(InputError, match="exactly one"):
        take_down(pipeline, owner="a", url="b")
    with pytest.raises(InputError, match="no image"):
        take_down(pipeline, owner="owner 007")
    with pytest.raises(InputError, match="--corpus and --results"):
        takedown(corpus="other", results=pipeline.results, owner=OWNER)
    assert digests(pipeline.results) == before


def test_a_download_under_way_is_not_touched(pipeline: Pipeline) -> None:
    root = pipeline.corpus / ".work/download"
    key = next(root.glob("*/key.json"))
    with (
        open_work_folder(root, json.loads(key.read_text())),
        pytest.raises(InputError, match="in use by process"),
    ):
        take_down(pipeline, dataset="set 4")
