"""Replay shards: every pair is accounted for, bytes are reproducible, and members are where the index says."""

import hashlib
import os
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workflow_scripts.common import images, tables, tars
from workflow_scripts.common.accounts import read_account
from workflow_scripts.common.config.replay import ReplaySettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.contracts import DOWNLOADS, REPLAY_INDEX, SHARD_MANIFEST
from workflow_scripts.replay.write import write

MakeSettings = Callable[..., ReplaySettings]
Downloaded = tuple[list[Path], list[Path]]


def make(out: Path, work: Path, downloaded: Downloaded, settings: ReplaySettings, threads: int = 1) -> None:
    selection, manifests = downloaded
    write(
        selection=tuple(selection),
        manifests=tuple(manifests),
        settings=settings,
        work=work,
        out_dir=out,
        threads=threads,
    )


def index_rows(out: Path, split: str) -> list[dict[str, Any]]:
    return list(tables.read_rows(out / split / "index.parquet", REPLAY_INDEX).to_pylist())


def results(out: Path) -> dict[str, bytes]:
    return {str(file.relative_to(out)): file.read_bytes() for file in out.rglob("[!.]*") if file.is_file()}


def test_every_pair_is_in_a_shard_or_dropped_by_reason(
    tmp_path: Path, downloaded: Downloaded, make_settings: MakeSettings
) -> None:
    make(tmp_path / "out", tmp_path / "work", downloaded, make_settings())
    account = read_account(tmp_path / "out" / "account.json")
    assert (account.rows_in, account.kept, account.dropped) == (42, 40, {"http_error": 2})
    train, val = (index_rows(tmp_path / "out", split) for split in ("train", "val"))
    assert (len(train), len(val)) == (32, 8)
    assert not {row["uuid"] for row in train} & {row["uuid"] for row in val}
    manifest = tables.read_rows(tmp_path / "out" / "train" / "manifest.parquet", SHARD_MANIFEST).to_pylist()
    assert [row["samples"] for row in manifest] == [8, 8, 8, 8]
    for row in manifest:
        data = (tmp_path / "out" / "train" / row["shard"]).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (row["bytes"], row["sha256"])


def test_the_index_finds_each_image_beside_its_caption(
    tmp_path: Path, downloaded: Downloaded, make_settings: MakeSettings
) -> None:
    make(tmp_path / "out", tmp_path / "work", downloaded, make_settings())
    for row in index_rows(tmp_path / "out", "train"):
        tar = tmp_path / "out" / "train" / row["shard"]
        jpeg = tar.read_bytes()[row["offset"] : row["offset"] + row["size"]]
        assert images.decode(jpeg).shape == (32, 32, 3)
        with tarfile.open(tar) as opened:
            names = opened.getnames()
            assert names[2 * row["position"] : 2 * row["position"] + 2] == [f"{row['uuid']}.jpg", f"{row['uuid']}.txt"]
            text = opened.extractfile(f"{row['uuid']}.txt")
            assert text is not None
            assert text.read().decode() == row["caption"] == f"caption of {row['uuid']} — naïve"


def test_the_same_inputs_give_the_same_bytes_and_another_seed_another_order(
    tmp_path: Path, downloaded: Downloaded, make_settings: MakeSettings
) -> None:
    settings = make_settings()
    make(tmp_path / "a", tmp_path / "work-a", downloaded, settings)
    time.sleep(1.1)
    selection, manifests = downloaded
    make(tmp_path / "b", tmp_path / "work-b", (selection[::-1], manifests[::-1]), settings, threads=3)
    assert results(tmp_path / "a") == results(tmp_path / "b")
    reseeded = settings.model_copy(update={"shards": settings.shards.model_copy(update={"seed": 7})})
    make(tmp_path / "c", tmp_path / "work-c", downloaded, reseeded)
    order = [[row["uuid"] for row in index_rows(tmp_path / name, "train")] for name in ("a", "c")]
    assert order[0] != order[1]
    assert sorted(order[0]) == sorted(order[1])
    assert order[0] != sorted(order[0])


def test_max_shards_keeps_the_first_training_shards(
    tmp_path: Path, downloaded: Downloaded, make_settings: MakeSettings
) -> None:
    make(tmp_path / "all", tmp_path / "work", downloaded, make_settings())
    make(tmp_path / "some", tmp_path / "work", downloaded, make_settings(max_shards=2))
    account = read_account(tmp_path / "some" / "account.json")
    assert account.dropped == {"http_error": 2, "beyond_max_shards": 16}
    assert index_rows(tmp_path / "some", "train") == index_rows(tmp_path / "all", "train")[:16]
    assert index_rows(tmp_path / "some", "val") == index_rows(tmp_path / "all", "val")


def test_an_unreadable_image_is_dropped_and_counted(
    tmp_path: Path, downloaded: Downloaded, make_settings: MakeSettings
) -> None:
    tar = downloaded[1][0].parent / "images-00000.tar"
    with tarfile.open(tar) as opened:
        member = opened.getmember("pair-0-07.jpg")
    with tar.open("r+b") as file:
        file.seek(member.offset_data)
        file.write(b"x" * member.size)
    make(tmp_path / "out", tmp_path / "work", downloaded, make_settings())
    account = read_account(tmp_path / "out" / "account.json")
    assert account.dropped == {"http_error": 2, "unreadable": 1}
    rows = index_rows(tmp_path / "out", "train")
    assert len(rows) == 31
    assert "pair-0-07" not in {row["uuid"] for row in rows}


def test_an_interrupted_write_keeps_its_finished_shards_and_ends_in_the_same_bytes(
    tmp_path: Path, downloaded: Downloaded, make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "whole", tmp_path / "work-whole", downloaded, make_settings())
    written: list[str] = []

    def write_two(path: Path, samples: Any) -> Any:
        if len(written) == 2:
            raise KeyboardInterrupt
        return write_and_note(path, samples)

    def write_and_note(path: Path, samples: Any) -> Any:
        written.append(path.parent.name)
        return real(path, samples)

    real = tars.write_tar
    monkeypatch.setattr(tars, "write_tar", write_two)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "out", tmp_path / "work", downloaded, make_settings())
    assert not any((tmp_path / "out").rglob("*.parquet"))
    monkeypatch.setattr(tars, "write_tar", write_and_note)
    make(tmp_path / "out", tmp_path / "work", downloaded, make_settings())
    assert results(tmp_path / "out") == results(tmp_path / "whole")
    assert len(written) == len(set(written)) == 5, "four shards for train and one for val, each once"
    make(tmp_path / "out", tmp_path / "work", downloaded, make_settings())
    assert len(written) == 5, "finished work was written again"


def test_a_damaged_shard_is_written_again(tmp_path: Path, downloaded: Downloaded, make_settings: MakeSettings) -> None:
    make(tmp_path / "out", tmp_path / "work", downloaded, make_settings())
    before = results(tmp_path / "out")
    os.truncate(tmp_path / "out" / "train" / "shard-000001.tar", 100)
    make(tmp_path / "out", tmp_path / "work", downloaded, make_settings())
    assert results(tmp_path / "out") == before


def test_a_pair_without_a_manifest_row_is_an_error_by_name(
    tmp_path: Path, downloaded: Downloaded, make_settings: MakeSettings
) -> None:
    selection, manifests = downloaded
    with pytest.raises(InputError, match=r"\blost-1\b.*manifest"):
        make(tmp_path / "out", tmp_path / "work", (selection, manifests[:1]), make_settings())


def test_when_nothing_came_it_says_why(tmp_path: Path, downloaded: Downloaded, make_settings: MakeSettings) -> None:
    for manifest in downloaded[1]:
        rows = [
            row | {"status": "deferred", "error": "http_error: gone", "tar": None, "offset": None, "size": None}
            for row in tables.read_rows(manifest, DOWNLOADS).to_pylist()
        ]
        tables.write_rows(rows, DOWNLOADS, manifest)
    with pytest.raises(InputError, match=r"pairs.*http_error 42"):
        make(tmp_path / "out", tmp_path / "work", downloaded, make_settings())


def test_a_missing_tar_is_an_error_by_name(tmp_path: Path, downloaded: Downloaded, make_settings: MakeSettings) -> None:
    (downloaded[1][1].parent / "images-00000.tar").unlink()
    with pytest.raises(InputError, match=r"download-1.images-00000\.tar.*No such file.*download-1 again"):
        make(tmp_path / "out", tmp_path / "work", downloaded, make_settings())
