"""Your own images become a parquet file of embeddings; an interrupted run can be continued."""

import csv
import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from tests.evaluate.image_options import with_flat_options
from tests.messages import says
from workflow_scripts.common.clip import Clip, encode_image, load, preprocess
from workflow_scripts.common.embedding import MIN_MEMORY_MB
from workflow_scripts.common.errors import InputError
from workflow_scripts.evaluate import embed_images as module
from workflow_scripts.evaluate.features import weights_digest

embed_images = with_flat_options(module.embed_images)
NAMES = ("a.png", "b.png", "deep/c.png", "deep/d.png")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    chance = np.random.default_rng(0)
    for name in NAMES:
        Image.fromarray(chance.integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(folder / name)
    return folder


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Batch sizes that went through the model."""
    batches: list[int] = []
    encode = module.encode

    def counted(clip: Clip, pixels: torch.Tensor, *further: Any) -> Any:
        batches.append(len(pixels))
        return encode(clip, pixels, *further)

    monkeypatch.setattr(module, "encode", counted)
    return batches


def status_of(**options: Any) -> int:
    """The exit status of an embedding."""
    try:
        embed_images(**{"batch": 1, "workers": 0, "threads": 1, **options})
    except SystemExit as ended:
        return int(str(ended.code))
    return 0


def vectors_of(path: Path) -> np.ndarray:
    return np.stack(pl.read_parquet(path)["emb"].to_list())


def test_the_file_is_what_emb_explorer_reads_and_holds_what_pybioclip_embeds(
    models: dict[str, str], photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.parquet"
    assert status_of(model=models["ours"], images=(photos,), out=out) == 0
    table = pq.read_table(out)
    # Emb-explorer asks for these two columns by name, and for vectors of one length.
    assert table.schema.field("uuid").type == pa.string()
    assert table.schema.field("emb").type == pa.list_(pa.float32())
    assert table["image"].to_pylist() == list(NAMES)
    assert len(set(table["uuid"].to_pylist())) == len(NAMES)
    clip = load(models["ours"])
    alone = [encode_image(clip, preprocess(clip)(Image.open(photos / name))[None])[0].numpy() for name in NAMES]
    np.testing.assert_allclose(vectors_of(out), alone, atol=1e-5)
    bioclip = pytest.importorskip("bioclip.predict")
    theirs = bioclip.BaseClassifier(model_str=models["ours"])
    embedded = [theirs.create_image_features_for_image(str(photos / name), normalize=False).numpy() for name in NAMES]
    np.testing.assert_allclose(vectors_of(out), embedded, atol=1e-5)
    origin = json.loads(pq.read_metadata(out).metadata[b"embeddings"])
    assert (origin["weights"], origin["normalized"]) == (weights_digest(clip), False)


def test_unit_vectors_and_the_second_projector_are_options(
    models: dict[str, str], photos: Path, tmp_path: Path
) -> None:
    for name, options in (("plain", {}), ("unit", {"normalize": True}), ("replay", {"projector": "replay"})):
        assert status_of(model=models["ours"], images=(photos,), out=tmp_path / f"{name}.parquet", **options) == 0
    plain, unit, replay = (vectors_of(tmp_path / f"{name}.parquet") for name in ("plain", "unit", "replay"))
    np.testing.assert_allclose(unit, plain / np.linalg.norm(plain, axis=1, keepdims=True), atol=1e-6)
    assert not np.allclose(plain, replay, atol=0.1)


def test_a_tables_columns_and_its_uuids_stay(models: dict[str, str], photos: Path, tmp_path: Path) -> None:
    table = tmp_path / "photos.csv"
    table.write_text(
        "uuid,path,catalogNumber,bytes\nu1,photos/b.png,007,many\n,photos/a.png,008,\nu3,photos/gone.png,009,\n"
        ",photos/a.png,010,\n"
    )
    out = tmp_path / "out.parquet"
    assert status_of(model=models["ours"], images=(table,), out=out) == 3
    found = pl.read_parquet(out)
    assert found["image"].to_list() == ["photos/b.png", "photos/a.png", "photos/a.png"]
    assert found["catalogNumber"].to_list() == ["007", "008", "010"]
    assert found["given_bytes"].to_list() == ["many", None, None]
    assert found["uuid"][0] == "u1" and found["uuid"].n_unique() == 3
    with (tmp_path / "out.unreadable.csv").open() as file:
        [row] = csv.DictReader(file)
    assert row["image"] == "photos/gone.png" and says(row["error"], "No such file")
    (photos / "gone.png").write_bytes((photos / "b.png").read_bytes())
    assert status_of(model=models["ours"], images=(table,), out=out) == 0
    assert pl.read_parquet(out)["uuid"].to_list()[::2] == ["u1", "u3"]
    assert not (tmp_path / "out.unreadable.csv").exists()


def test_boxes_of_a_table_are_cut_out(models: dict[str, str], photos: Path, tmp_path: Path) -> None:
    """Each crop is an image; a crop outside its image is reported and does not affect other rows."""
    table = tmp_path / "boxes.csv"
    table.write_text(
        "path,x,y,width,height\nphotos/a.png,0,10,30.2,20\nphotos/a.png,,,,\nphotos/a.png,90,0,5,5\n"
        "photos/b.png,5,5,wide,5\nphotos/a.png,20,0,50,50\n"
    )
    given: dict[str, Any] = {"model": models["ours"], "images": (table,), "out": tmp_path / "out.parquet"}
    assert status_of(**given) == 3
    found = pl.read_parquet(given["out"])
    assert found["crop"].to_list() == ["0 10 30 20", None, "20 0 50 50"]
    assert found["x"].to_list() == ["0", None, "20"]
    whole = Image.open(photos / "a.png")
    cut = [whole.crop((0, 10, 30, 30)), whole, whole.crop((20, 0, 40, 40))]
    clip = load(models["ours"])
    alone = [encode_image(clip, preprocess(clip)(image)[None])[0].numpy() for image in cut]
    np.testing.assert_allclose(vectors_of(given["out"]), alone, atol=1e-5)
    with (tmp_path / "out.unreadable.csv").open() as file:
        assert ["bad_crop" in row["error"] for row in csv.DictReader(file)] == [True, True]


def test_only_what_is_new_or_changed_is_embedded_again(
    models: dict[str, str], photos: Path, encoded: list[int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given: dict[str, Any] = {"model": models["ours"], "images": (photos,), "out": tmp_path / "out.parquet"}
    assert status_of(**given) == 0
    before = dict(zip(NAMES, vectors_of(given["out"]), strict=True))
    (photos / "new.png").write_bytes((photos / "a.png").read_bytes())
    (photos / "b.png").write_bytes((photos / "deep/c.png").read_bytes())
    os.utime(photos / "b.png", ns=(1, 1))
    (photos / "deep/d.png").unlink()
    capsys.readouterr()
    assert status_of(as_json=True, **given) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["images"], told["embedded"], told["reused"], told["dimensions"]) == (4, 4, 2, 16)
    assert sum(encoded) == 4 + 2
    found = pl.read_parquet(given["out"])
    assert found["image"].to_list() == ["a.png", "b.png", "new.png", "deep/c.png"]
    for name, like in (("a.png", "a.png"), ("b.png", "deep/c.png"), ("new.png", "a.png"), ("deep/c.png", "deep/c.png")):
        [vector] = found.filter(pl.col("image") == name)["emb"].to_list()
        np.testing.assert_allclose(vector, before[like], atol=1e-5)


def test_a_file_with_other_contents_is_replaced_only_on_request(
    models: dict[str, str], photos: Path, encoded: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.parquet"
    given: dict[str, Any] = {"model": models["ours"], "images": (photos,), "out": out}
    assert status_of(**given) == 0
    before = out.read_bytes()
    for changed, named in (
        ({"model": models["start"]}, "weights"),
        ({"normalize": True}, "normalized"),
        ({"images": (photos / "deep",)}, "images"),
    ):
        with pytest.raises(InputError) as refused:
            embed_images(**given | changed)
        assert says(str(refused.value), "out.parquet", named, "--out", "--overwrite")
        assert out.read_bytes() == before
    # The same images plus new ones need no --overwrite: no row is lost.
    assert status_of(**given | {"images": (photos / "a.png",), "out": tmp_path / "some.parquet"}) == 0
    both = (photos / "b.png", photos / "a.png")
    assert status_of(**given | {"images": both, "out": tmp_path / "some.parquet"}) == 0
    assert sum(encoded) == 4 + 1 + 1
    # The file is replaced only when the new one is complete.
    stopped = given | {"normalize": True, "overwrite": True}
    encode, stops = module.encode, list[int]()

    def interrupted(clip: Clip, pixels: torch.Tensor, *further: Any) -> Any:
        if sum(encoded) == 7 and not stops:
            stops.append(os.getpid())
            os.kill(os.getpid(), signal.SIGINT)
        return encode(clip, pixels, *further)

    monkeypatch.setattr(module, "encode", interrupted)
    assert status_of(**stopped) == 130
    assert out.read_bytes() == before
    assert status_of(**stopped) == 0
    assert sum(encoded) == 6 + 4 and stops
    np.testing.assert_allclose(np.linalg.norm(vectors_of(out), axis=1), 1, atol=1e-5)
    pl.DataFrame({"path": ["a.png"]}).write_parquet(out)
    with pytest.raises(InputError, match=r"out\.parquet: not written by embed_images.*--overwrite"):
        embed_images(**given)


@pytest.mark.parametrize("name", ["out.parquet", "out.unreadable.csv", "link.parquet"])
def test_the_table_that_is_read_is_never_written(models: dict[str, str], photos: Path, name: str) -> None:
    table = photos / name
    (photos / "link.parquet").symlink_to("out.parquet")
    frame = pl.DataFrame({"path": ["a.png"]})
    _ = frame.write_csv(table) if name.endswith("csv") else frame.write_parquet(photos / "out.parquet")
    before = table.read_bytes()
    out = photos / "deep/../out.parquet"
    with pytest.raises(InputError, match=r"also an input.*--out"):
        embed_images(model=models["ours"], images=(table,), out=out, overwrite=True)
    assert table.read_bytes() == before


@pytest.mark.parametrize("ending", ["stopped", "killed"])
def test_an_interrupted_run_is_completed_by_the_same_command(
    models: dict[str, str], photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.setattr(module, "CHUNK", 1 if ending == "killed" else 4)
    given: dict[str, Any] = {"model": models["ours"], "images": (photos,)}
    out, whole, encode, batches = tmp_path / "out.parquet", tmp_path / "whole.parquet", module.encode, []
    assert status_of(out=whole, **given) == 0

    def interrupted(clip: Clip, pixels: torch.Tensor, *further: Any) -> Any:
        batches.append(len(pixels))
        if len(batches) == 3:
            if ending == "killed":
                raise MemoryError
            os.kill(os.getpid(), signal.SIGINT)
        return encode(clip, pixels, *further)

    monkeypatch.setattr(module, "encode", interrupted)
    if ending == "killed":
        with pytest.raises(MemoryError):
            status_of(out=out, **given)
        assert not out.exists()
    else:
        assert status_of(out=out, **given) == 130
        assert pl.read_parquet(out)["image"].to_list() == list(NAMES[:2])
    assert status_of(out=out, **given) == 0
    assert sum(batches) == 2 + 1 + 2
    assert pl.read_parquet(out).equals(pl.read_parquet(whole))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.parquet", "photos", "whole.parquet"]


def test_images_without_an_embedding_are_reported(models: dict[str, str], photos: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"--memory-mb.*{MIN_MEMORY_MB}"):
        embed_images(model=models["ours"], images=(photos,), out=tmp_path / "out.parquet", memory_mb=1)
    with pytest.raises(InputError, match=r"out\.csv.*\.parquet"):
        embed_images(model=models["ours"], images=(photos,), out=tmp_path / "out.csv")
    (tmp_path / "x.jpg").write_bytes(b"<html>")
    with pytest.raises(InputError, match=r"none of 1 images.*x\.jpg.*not_an_image"):
        embed_images(model=models["ours"], images=(tmp_path / "x.jpg",), out=tmp_path / "out.parquet")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos", "x.jpg"]
