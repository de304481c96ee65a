"""Shards: shuffled, byte-identical however the work is divided, resumable, and true to the download tars."""

import os
import re
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import simplejpeg
import webdataset
from hypothesis import given
from hypothesis import settings as tries
from hypothesis import strategies as st

from tests.digests import digests
from workflow_scripts.common import tables, tars
from workflow_scripts.common.accounts import read_account
from workflow_scripts.common.config.shards import ShardSettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import sha256_file
from workflow_scripts.contracts import CATALOG, SHARD_INDEX, SHARD_MANIFEST, SHARD_PLAN, VERDICTS
from workflow_scripts.shards.gather import gather
from workflow_scripts.shards.plan import plan
from workflow_scripts.shards.write import write

SETTINGS = ShardSettings(image_size=32, samples_per_shard=8)
IMAGES_PER_TAR = 10


def picture(number: int) -> bytes:
    """A JPEG of a single colour that identifies it, with a white right half."""
    pixels = np.full((48, 72, 3), (number * 5 % 256, number * 11 % 256, number * 23 % 256), np.uint8)
    pixels[:, 36:] = 255
    return simplejpeg.encode_jpeg(pixels, quality=95)


def verdict(number: int, split: str | None, place: tars.Span | None, label: str = "") -> dict[str, Any]:
    return {
        "uuid": f"u{number:03d}",
        "label_id": label or f"label{number // 10}",
        "split": split,
        "keep": split is not None,
        "reason": None if split else "duplicate",
        "part": number // (2 * IMAGES_PER_TAR),
        "tar": f"{number // IMAGES_PER_TAR:05d}.tar" if place else None,
        "offset": place.offset if place else None,
        "size": place.size if place else None,
        "md5": f"md5 of {number}",
    }


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """60 downloaded images in three parts of two tars; every tenth is left out, every seventh is for val."""
    rows = []
    for tar in range(6):
        numbers = range(tar * IMAGES_PER_TAR, (tar + 1) * IMAGES_PER_TAR)
        path = tmp_path / "download" / f"part-{tar // 2:04d}" / f"{tar:05d}.tar"
        places = tars.write_tar(path, ((f"u{number:03d}", {"jpg": picture(number)}) for number in numbers))
        for number, place in zip(numbers, places, strict=True):
            split = None if number % 10 == 9 else "val" if number % 7 == 0 else "train"
            rows.append(verdict(number, split, place["jpg"]))
    tables.write_rows(rows, VERDICTS, tmp_path / "verdicts.parquet")
    return tmp_path


def build(
    corpus: Path,
    *,
    out: str = "g000",
    groups: int = 2,
    jobs: int = 1,
    work: str = "work",
    settings: Any = SETTINGS,
    **kept: Any,
) -> Path:
    """Plan, write and gather; returns the generation's folder."""
    folder = corpus / out
    planned = folder / "plan.parquet"
    plan(verdicts=corpus / "verdicts.parquet", settings=settings, groups=groups, out=planned, **kept)
    for group in range(groups):
        write(
            plan=planned, downloads=corpus / "download", group=group, settings=settings, work=corpus / work,
            out_dir=folder, jobs=jobs,
        )  # fmt: skip
    gather_groups(folder, groups)
    return folder


def gather_groups(folder: Path, groups: int) -> None:
    gather(
        manifests=tuple(folder / f"groups/group-{group:03d}.manifest.parquet" for group in range(groups)),
        indexes=tuple(folder / f"groups/group-{group:03d}.index.parquet" for group in range(groups)),
        plan=folder / "plan.parquet",
        out_dir=folder,
    )


def sums(folder: Path) -> dict[str, str]:
    """Digest of all files of the generation, except those of groups."""
    return digests(folder, "train/*", "val/*", "account.json")


def index(folder: Path, split: str = "train") -> list[dict[str, Any]]:
    return tables.read_rows(folder / split / "index.parquet", SHARD_INDEX).to_pylist()


def test_every_kept_image_is_one_sample_at_its_place_with_its_label_and_picture(corpus: Path) -> None:
    folder = build(corpus)
    seen = []
    for split, wanted in (("train", lambda n: n % 7), ("val", lambda n: not n % 7)):
        for row in index(folder, split):
            seen.append(row["uuid"])
            number = int(row["uuid"][1:])
            assert wanted(number)
            assert row["label_id"] == f"label{number // 10}"
            data = (folder / split / row["shard"]).read_bytes()[row["offset"] : row["offset"] + row["size"]]
            pixels = simplejpeg.decode_jpeg(data)
            assert pixels.shape == (32, 32, 3)
            assert (
                np.abs(pixels[16, 4].astype(int) - (number * 5 % 256, number * 11 % 256, number * 23 % 256)).max() < 9
            )
            assert pixels[16, 28].min() > 245
    assert sorted(seen) == [f"u{number:03d}" for number in range(60) if number % 10 != 9]
    account = read_account(folder / "account.json")
    assert (account.rows_in, account.kept) == (54, 54)


def test_kept_columns_are_in_the_index_and_rewrite_no_shard(corpus: Path) -> None:
    before = build(corpus)
    tars_before = {path: path.stat().st_ino for path in before.rglob("*.tar")}
    rows = [
        {"uuid": f"u{number:03d}", "label_id": "l", "data_source": "d", "source_url": "/x", "host": ""}
        | {"generation": 0, "part": 0, "lifeStage": None if number % 3 else f"stage {number}", "sex": "female"}
        for number in range(60)
    ]
    tables.write_rows(rows, CATALOG, corpus / "part-0000.parquet")
    folder = build(corpus, catalog=(corpus / "part-0000.parquet",), keep=("lifeStage", "sex"))
    stages = {row["uuid"]: row["lifeStage"] for row in rows}
    for split in ("train", "val", "train_small"):
        found = index(folder, split)
        assert found and all((row["lifeStage"], row["sex"]) == (stages[row["uuid"]], "female") for row in found)
    assert {path: path.stat().st_ino for path in folder.rglob("*.tar")} == tars_before


@pytest.mark.parametrize("groups", [1, 3, 20])
def test_the_number_of_jobs_and_threads_changes_no_byte(corpus: Path, groups: int) -> None:
    wanted = sums(build(corpus))
    assert len(wanted) == 6 + 1 + 2 * 2 + 1, "shards of train and val, two tables each, the account"
    assert sums(build(corpus, out="other/g000", groups=groups, jobs=3, work="other_work")) == wanted


def test_manifests_hold_sizes_and_digests_and_the_index_has_a_row_group_a_shard(corpus: Path) -> None:
    import pyarrow.parquet as pq

    folder = build(corpus)
    for split in ("train", "val"):
        rows = tables.read_rows(folder / split / "manifest.parquet", SHARD_MANIFEST).to_pylist()
        file = pq.ParquetFile(folder / split / "index.parquet")
        assert file.num_row_groups == len(rows)
        for number, row in enumerate(rows):
            tar = folder / split / row["shard"]
            assert row["shard"] == f"shard-{number:06d}.tar"
            assert (row["bytes"], row["sha256"]) == (tar.stat().st_size, sha256_file(tar))
            group = file.read_row_group(number)
            assert set(group["shard"].to_pylist()) == {row["shard"]}
            assert group["position"].to_pylist() == list(range(row["samples"]))


def test_tarfile_webdataset_and_gnu_tar_read_the_same_samples(corpus: Path, tmp_path: Path) -> None:
    tar = build(corpus) / "train" / "shard-000000.tar"
    with tarfile.open(tar) as file:
        members = {member.name: file.extractfile(member).read() for member in file}  # type: ignore[union-attr]
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    subprocess.run(["tar", "-xf", tar, "-C", unpacked], check=True)
    assert {path.name: path.read_bytes() for path in unpacked.iterdir()} == members
    samples = list(webdataset.WebDataset(str(tar), shardshuffle=False))
    assert {
        f"{sample['__key__']}.{extension}": sample[extension]
        for sample in samples
        for extension in ("jpg", "label_id.txt")
    } == members
    rows = [row for row in index(tar.parents[1]) if row["shard"] == tar.name]
    assert [sample["__key__"] for sample in samples] == [row["uuid"] for row in rows]
    assert [members[f"{row['uuid']}.label_id.txt"].decode() for row in rows] == [row["label_id"] for row in rows]


def test_a_changed_setting_has_a_work_folder_of_its_own_and_the_old_one_stays(corpus: Path) -> None:
    first = sums(build(corpus))
    before = {path: path.stat().st_mtime_ns for path in (corpus / "work").rglob("*.tar")}
    smaller = build(corpus, settings=SETTINGS.model_copy(update={"image_size": 16, "samples_per_shard": 30}))
    assert sorted(path.name for path in (smaller / "train").glob("*.tar")) == [
        "shard-000000.tar",
        "shard-000001.tar",
    ]
    assert before.items() <= {path: path.stat().st_mtime_ns for path in (corpus / "work").rglob("*.tar")}.items()
    assert sums(build(corpus)) == first


def test_finished_shards_are_adopted_also_by_another_number_of_jobs(corpus: Path) -> None:
    wanted = sums(build(corpus))
    (corpus / "download").rename(corpus / "purged")
    assert sums(build(corpus, out="again/g000", groups=5)) == wanted


def test_one_lost_shard_costs_one_shard(corpus: Path) -> None:
    wanted = sums(build(corpus))
    tars_made = {path: path.stat().st_mtime_ns for path in (corpus / "work").rglob("shard.tar")}
    lost = next(path for path in tars_made if path.samefile(corpus / "g000" / "train" / "shard-000003.tar"))
    lost.unlink()
    (corpus / "g000" / "train" / "shard-000003.tar").unlink()
    assert sums(build(corpus)) == wanted
    again = {path: path.stat().st_mtime_ns for path in (corpus / "work").rglob("shard.tar")}
    assert {path for path in tars_made if again[path] != tars_made[path]} == {lost}


def test_another_image_at_the_same_place_is_not_adopted(corpus: Path) -> None:
    build(corpus)
    made = {path.stat().st_ino for path in (corpus / "g000").rglob("shard-*.tar")}
    rows = tables.read_rows(corpus / "verdicts.parquet", VERDICTS).to_pylist()
    rows = [row | ({"md5": "another"} if row["uuid"] == "u001" else {}) for row in rows]
    tables.write_rows(rows, VERDICTS, corpus / "verdicts.parquet")
    assert len({path.stat().st_ino for path in build(corpus).rglob("shard-*.tar")} - made) == 1


def move_to_a_tar_of_its_own(corpus: Path, number: int) -> Path:
    """Move one image to a tar of its own; return the tar."""
    tar = corpus / "download" / "part-0003" / "00006.tar"
    uuid = f"u{number:03d}"
    [place] = tars.write_tar(tar, [(uuid, {"jpg": picture(number)})])
    rows = tables.read_rows(corpus / "verdicts.parquet", VERDICTS).to_pylist()
    moved = {"part": 3, "tar": tar.name, "offset": place["jpg"].offset, "size": place["jpg"].size}
    rows = [row | moved if row["uuid"] == uuid else row for row in rows]
    tables.write_rows(rows, VERDICTS, corpus / "verdicts.parquet")
    return tar


@pytest.mark.slow
def test_a_killed_job_rewrites_only_the_shard_in_progress(corpus: Path) -> None:
    in_third = next(row for row in index(build(corpus, work="first_work")) if row["shard"] == "shard-000002.tar")
    needed = move_to_a_tar_of_its_own(corpus, int(in_third["uuid"][1:]))
    wanted = sums(build(corpus, out="wanted/g000"))
    folder, work = corpus / "killed" / "g000", corpus / "killed_work"
    plan(verdicts=corpus / "verdicts.parquet", settings=SETTINGS, groups=1, out=folder / "plan.parquet")
    command = [
        sys.executable, "-m", "workflow_scripts.shards.write", "--plan", folder / "plan.parquet",
        "--downloads", corpus / "download", "--group", "000", "--settings", SETTINGS.to_json(), "--work", work,
        "--out-dir", folder, "--jobs", "2",
    ]  # fmt: skip
    # A pipe without a writer replaces the tar, so the job hangs in the middle of the third shard.
    content = needed.read_bytes()
    needed.unlink()
    os.mkfifo(needed)
    with subprocess.Popen([str(word) for word in command], cwd=Path(__file__).parents[2]) as process:
        deadline = time.monotonic() + 60
        while len(list(work.iterdir()) if work.exists() else []) < 3 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    finished = {path: path.stat().st_mtime_ns for path in work.rglob("shard.tar")}
    assert len(finished) == 2
    assert not list((folder / "groups").glob("group-*"))

    needed.unlink()
    needed.write_bytes(content)
    subprocess.run([str(word) for word in command], check=True, cwd=Path(__file__).parents[2])
    gather_groups(folder, 1)
    assert sums(folder) == wanted
    assert finished.items() <= {path: path.stat().st_mtime_ns for path in work.rglob("shard.tar")}.items()


def cut_off(tar: Path, place: tars.Span) -> None:
    tar.write_bytes(tar.read_bytes()[: place.offset + place.size // 2])


def moved(tar: Path, place: tars.Span) -> None:
    tar.write_bytes(bytes(512) + tar.read_bytes())


def broken(tar: Path, place: tars.Span) -> None:
    data = bytearray(tar.read_bytes())
    data[place.offset : place.offset + place.size] = b"\xff" * place.size
    tar.write_bytes(data)


def of_another(tar: Path, place: tars.Span) -> None:
    tar.write_bytes(tar.read_bytes().replace(b"u035.jpg", b"u935.jpg"))


def lost(tar: Path, place: tars.Span) -> None:
    tar.unlink()


@pytest.mark.parametrize("damage", [cut_off, moved, broken, of_another, lost])
def test_a_damaged_download_tar_is_named_with_the_byte_and_the_image(corpus: Path, damage: Any) -> None:
    tar = corpus / "download" / "part-0001" / "00003.tar"
    place = tars.member_places(tar)["u035.jpg"]
    # Only this image is kept, so it is the first one to be missing.
    rows = tables.read_rows(corpus / "verdicts.parquet", VERDICTS).to_pylist()
    rows = [row | {"split": None, "keep": False, "reason": "duplicate"} for row in rows if row["uuid"] != "u035"]
    tables.write_rows([*rows, verdict(35, "train", place)], VERDICTS, corpus / "verdicts.parquet")
    damage(tar, place)
    with pytest.raises(InputError) as raised:
        build(corpus)
    message = str(raised.value)
    assert (
        "part-0001/00003.tar" in message
        and "u035" in message
        and (f"byte {place.offset}" in message or "mangled" in message)
    )
    assert "\n" not in message
    assert not list((corpus / "g000" / "groups").glob("*.manifest.parquet"))


def test_gather_refuses_a_missing_shard_and_a_group_of_another_plan(corpus: Path) -> None:
    folder = build(corpus)
    tar = folder / "train" / "shard-000002.tar"
    tar.unlink()
    with pytest.raises(InputError, match=r"shard-000002\.tar: missing; `snakemake data -R \S*manifest\.parquet"):
        gather_groups(folder, 2)
    plan(
        verdicts=corpus / "verdicts.parquet", settings=SETTINGS.model_copy(update={"seed": 1}), groups=2,
        out=folder / "plan.parquet",
    )  # fmt: skip
    with pytest.raises(
        InputError, match=r"sample u... of shard-000000\.tar is (planned but not written|written but not planned)"
    ):
        gather_groups(folder, 2)


def test_a_corpus_without_val_has_empty_val_tables(corpus: Path) -> None:
    rows = tables.read_rows(corpus / "verdicts.parquet", VERDICTS).to_pylist()
    rows = [row | ({"split": "train"} if row["keep"] else {}) for row in rows]
    tables.write_rows(rows, VERDICTS, corpus / "verdicts.parquet")
    folder = build(corpus)
    assert index(folder, "val") == []
    assert tables.read_rows(folder / "val" / "manifest.parquet", SHARD_MANIFEST).num_rows == 0
    assert len(index(folder)) == 54


def test_a_job_reads_the_rows_of_its_own_group_alone(corpus: Path) -> None:
    folder = build(corpus)
    before = sums(folder)
    rows = tables.read_rows(folder / "plan.parquet", SHARD_PLAN).to_pylist()
    damaged = pa.Table.from_pylist([row | {"md5": None} if row["group"] == 1 else row for row in rows])
    pq.write_table(damaged, folder / "plan.parquet")
    job = {"plan": folder / "plan.parquet", "downloads": corpus / "download", "settings": SETTINGS}
    write(group=0, work=corpus / "work", out_dir=folder, **job)
    assert sums(folder) == before
    with pytest.raises(InputError, match=r"plan\.parquet: md5.*\d+ rows"):
        write(group=1, work=corpus / "work", out_dir=folder, **job)


def test_a_uuid_that_is_not_a_member_name_is_refused(corpus: Path) -> None:
    row = verdict(35, "train", tars.Span(512, 9)) | {"uuid": "../u035"}
    tables.write_rows([row], VERDICTS, corpus / "verdicts.parquet")
    with pytest.raises(InputError, match=re.escape("'../u035'")):
        build(corpus)


@tries(max_examples=12, deadline=None)
@given(
    numbers=st.sets(st.integers(0, 999), max_size=60),
    per_shard=st.integers(1, 9),
    groups=st.integers(1, 12),
    random=st.randoms(),
)
def test_the_plan_places_each_kept_image_once_whatever_the_order(
    tmp_path_factory: pytest.TempPathFactory, numbers: set[int], per_shard: int, groups: int, random: Any
) -> None:
    folder = tmp_path_factory.mktemp("plan")
    rows = [
        verdict(number, (None, "train", "train", "val")[number % 4], tars.Span(512, 9)) for number in sorted(numbers)
    ]

    def planned(name: str, rows: Sequence[dict[str, Any]], groups: int, threads: int) -> list[dict[str, Any]]:
        tables.write_rows(rows, VERDICTS, folder / "verdicts.parquet")
        settings = ShardSettings(samples_per_shard=per_shard)
        out = folder / name
        plan(verdicts=folder / "verdicts.parquet", settings=settings, groups=groups, out=out, threads=threads)
        return tables.read_rows(out, SHARD_PLAN).to_pylist()

    found = planned("one", rows, groups, 1)
    planned("two", random.sample(rows, len(rows)), groups, 3)
    assert (folder / "one").read_bytes() == (folder / "two").read_bytes()
    alone = planned("three", rows, 1, 1)
    assert [row | {"group": 0} for row in found] == alone

    assert sorted(row["uuid"] for row in found) == [row["uuid"] for row in rows if row["keep"]]
    for split in ("train", "val"):
        places = [(row["shard"], row["position"]) for row in found if row["split"] == split]
        assert places == [divmod(place, per_shard) for place in range(len(places))]
    by_group = [row["group"] for row in found]
    assert by_group == sorted(by_group) and all(0 <= group < groups for group in by_group)


def test_neighbours_in_a_shard_are_unrelated(tmp_path: Path) -> None:
    """4,000 images of 40 species, in the order of species: a batch of 100 neighbours sees nearly all of them."""
    rows = [verdict(number, "train", tars.Span(512, 9), label=f"s{number // 100}") for number in range(4000)]
    tables.write_rows(rows, VERDICTS, tmp_path / "verdicts.parquet")
    out = tmp_path / "plan.parquet"
    plan(verdicts=tmp_path / "verdicts.parquet", settings=ShardSettings(samples_per_shard=1000), groups=1, out=out)
    labels = [row["label_id"] for row in tables.read_rows(out, SHARD_PLAN).to_pylist()]
    assert all(len(set(labels[start : start + 100])) >= 30 for start in range(0, 4000, 100))
    same = sum(one == other for one, other in pairwise(labels))
    assert 60 <= same <= 140, "by chance one pair in 40 is of one species"


@pytest.mark.parametrize(("resize", "white"), [("squash", 1 / 4), ("crop", 1 / 8)])
def test_images_are_squashed_or_cropped(tmp_path: Path, resize: str, white: float) -> None:
    """A picture of 96 x 64 with its rightmost quarter white: the middle 64 columns hold 8 of those 24."""
    pixels = np.zeros((64, 96, 3), np.uint8)
    pixels[:, 72:] = 255
    tar = tmp_path / "download" / "part-0000" / "00000.tar"
    [place] = tars.write_tar(tar, [("u000", {"jpg": simplejpeg.encode_jpeg(pixels)})])
    tables.write_rows([verdict(0, "train", place["jpg"])], VERDICTS, tmp_path / "verdicts.parquet")
    folder = build(tmp_path, settings=ShardSettings.model_validate({"image_size": 32, "resize": resize}))
    [row] = index(folder)
    data = (folder / "train" / row["shard"]).read_bytes()[row["offset"] : row["offset"] + row["size"]]
    square = simplejpeg.decode_jpeg(data)
    assert square.shape == (32, 32, 3)
    assert abs(square.mean() / 255 - white) < 0.02


def test_a_tenth_of_the_training_shards_stands_apart_to_try_things_on(corpus: Path) -> None:
    folder = build(corpus)
    whole = tables.read_rows(folder / "train/manifest.parquet", SHARD_MANIFEST).to_pylist()
    small = tables.read_rows(folder / "train_small/manifest.parquet", SHARD_MANIFEST).to_pylist()
    assert small == whole[:1]
    assert index(folder, "train_small") == [row for row in index(folder) if row["shard"] == small[0]["shard"]]
    tar = folder / "train_small" / small[0]["shard"]
    assert tar.samefile(folder / "train" / tar.name)


def test_a_takedown_leaves_empty_places_and_no_other_change(corpus: Path) -> None:
    before = sums(build(corpus))
    rows = tables.read_rows(corpus / "verdicts.parquet", VERDICTS).to_pylist()
    gone = index(corpus / "g000")[20]
    for row in rows:
        if row["uuid"] == gone["uuid"]:
            row |= {"keep": False, "reason": "taken_down"}
    tables.write_rows(rows, VERDICTS, corpus / "verdicts.parquet")
    after = sums(build(corpus))
    changed = {name for name in before if name.endswith(".tar") and before[name] != after[name]}
    assert changed == {f"train/{gone['shard']}"}
    assert gone["uuid"] not in [row["uuid"] for row in index(corpus / "g000")]


def test_an_image_that_moved_in_its_tar_costs_no_shard(corpus: Path) -> None:
    folder = build(corpus)
    made = {path: path.stat().st_mtime_ns for path in (corpus / "work").glob("*/done.json")}
    tar = corpus / "download/part-0000/00000.tar"
    with tarfile.open(tar) as members:
        data = {member.name[:4]: members.extractfile(member).read() for member in members}  # type: ignore[union-attr]
    places = tars.write_tar(tar, (("other", {"jpg": b"x"}), *((uuid, {"jpg": jpg}) for uuid, jpg in data.items())))
    moved = dict(zip(["other", *data], places, strict=True))
    rows = tables.read_rows(corpus / "verdicts.parquet", VERDICTS).to_pylist()
    for row in rows:
        if row["uuid"] in moved:
            row["offset"] = moved[row["uuid"]]["jpg"].offset
    tables.write_rows(rows, VERDICTS, corpus / "verdicts.parquet")
    before = sums(folder)
    assert sums(build(corpus)) == before
    assert {path: path.stat().st_mtime_ns for path in (corpus / "work").glob("*/done.json")} == made
