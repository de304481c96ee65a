"""Features are the model's output, in the table's order, with a record of what they were made from."""

import io
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from workflow_scripts.common import embedding
from workflow_scripts.common.clip import Clip, Projector, encode_image, encode_text, load, preprocess
from workflow_scripts.common.config.evaluate import EmbedLimits
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.geometry import unit
from workflow_scripts.common.prompts import text_features
from workflow_scripts.common.tables import read_rows, write_rows
from workflow_scripts.contracts import BENCHMARK_IMAGES
from workflow_scripts.evaluate import embed as module
from workflow_scripts.evaluate.embed import embed
from workflow_scripts.evaluate.features import read_features

INLINE = EmbedLimits(batch=5, workers=0)


def test_features_are_those_of_each_image_taken_alone(models: dict[str, str], images: Path, tmp_path: Path) -> None:
    embed(work=tmp_path / "work", model=models["ours"], images=images, out=tmp_path / "f.safetensors", limits=INLINE)
    features = read_features(tmp_path / "f.safetensors")
    clip = load(models["ours"])
    transform = preprocess(clip)
    for index, row in enumerate(read_rows(images, BENCHMARK_IMAGES).to_pylist()):
        data = Path(row["path"]).read_bytes()
        if row["offset"] is not None:
            data = data[row["offset"] : row["offset"] + row["size"]]
        expected = encode_image(clip, transform(Image.open(io.BytesIO(data)))[None])
        np.testing.assert_allclose(features.vectors[index], expected[0].numpy(), atol=1e-5)
    assert features.vectors.dtype == np.float32
    assert features.positions.tolist() == list(range(12))
    assert not np.allclose(np.linalg.norm(features.vectors, axis=1), 1)


def test_batches_and_workers_do_not_change_the_file(models: dict[str, str], images: Path, tmp_path: Path) -> None:
    embed(
        work=tmp_path / "work",
        model=models["start"],
        images=images,
        out=tmp_path / "one",
        limits=EmbedLimits(batch=6, workers=0),
    )
    embed(
        work=tmp_path / "work",
        model=models["start"],
        images=images,
        out=tmp_path / "two",
        limits=EmbedLimits(batch=6, workers=1),
    )
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_the_replay_projector_gives_other_features_where_there_is_one(
    models: dict[str, str], images: Path, tmp_path: Path
) -> None:
    vectors = {}
    for name, source in models.items():
        for projector in ("proj", "replay"):
            out = tmp_path / f"{name}-{projector}"
            embed(work=tmp_path / "work", model=source, images=images, out=out, projector=projector, limits=INLINE)
            vectors[name, projector] = read_features(out).vectors
    assert not np.allclose(vectors["ours", "proj"], vectors["ours", "replay"], atol=0.1)
    np.testing.assert_array_equal(vectors["start", "proj"], vectors["start", "replay"])


def test_the_origin_tells_models_projectors_and_images_apart(
    models: dict[str, str], images: Path, tmp_path: Path
) -> None:
    table = read_rows(images, BENCHMARK_IMAGES).to_pylist()
    write_rows(table[:6], BENCHMARK_IMAGES, tmp_path / "fewer.parquet")
    made = [
        ("ours", "proj", images),
        ("ours", "replay", images),
        ("start", "proj", images),
        ("ours", "proj", tmp_path / "fewer.parquet"),
    ]
    digests = set()
    for number, (model, projector, chosen) in enumerate(made):
        embed(
            work=tmp_path / "work",
            model=models[model],
            images=chosen,
            out=tmp_path / f"{number}",
            projector=projector,
            limits=INLINE,
        )
        digests.add(read_features(tmp_path / f"{number}").origin.digest)
    assert len(digests) == len(made)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_can_no_longer_be_read_is_named(
    models: dict[str, str], images: Path, tmp_path: Path, workers: int
) -> None:
    (tmp_path / "4.png").write_bytes(b"<html>gone</html>")
    with pytest.raises(InputError, match=r"Corvus corax/4\.png"):
        embed(
            work=tmp_path / "work",
            model=models["ours"],
            images=images,
            out=tmp_path / "f",
            limits=EmbedLimits(workers=workers),
        )
    assert not (tmp_path / "f").exists()


def test_a_missing_image_and_an_empty_table_are_errors(models: dict[str, str], images: Path, tmp_path: Path) -> None:
    (tmp_path / "0.png").unlink()
    with pytest.raises(InputError, match=r"Pica hudsonia/0\.png"):
        embed(work=tmp_path / "work", model=models["ours"], images=images, out=tmp_path / "f", limits=INLINE)
    write_rows([], BENCHMARK_IMAGES, tmp_path / "none.parquet")
    with pytest.raises(InputError, match="no images"):
        embed(
            work=tmp_path / "work",
            model=models["ours"],
            images=tmp_path / "none.parquet",
            out=tmp_path / "f",
            limits=INLINE,
        )


def test_features_of_other_files_are_refused(images: Path, tmp_path: Path) -> None:
    assert pq.read_metadata(images).num_rows == 12
    for path in (images, tmp_path / "missing"):
        with pytest.raises(InputError, match="features"):
            read_features(path)


def test_text_features_do_not_depend_on_padding_or_company(models: dict[str, str]) -> None:
    clip = load(models["ours"])
    texts = ["a photo of a", "a tattoo of the " + "very " * 20 + "long name.", "a photo of Pica hudsonia.", "x"]
    with torch.inference_mode():
        expected = unit(encode_text(clip, texts).numpy())
    np.testing.assert_allclose(text_features(clip, texts), expected, atol=1e-5)
    np.testing.assert_allclose(text_features(clip, texts[::-1])[::-1], expected, atol=1e-5)


def test_an_interrupted_job_goes_on_after_its_last_chunk(
    models: dict[str, str], images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 4)
    whole_run = tmp_path / "whole" / "f.safetensors"
    embed(work=tmp_path / "other", model=models["ours"], images=images, out=whole_run, limits=INLINE)
    seen: list[int] = []

    def interrupted(clip: Clip, batch: torch.Tensor, projector: Projector) -> torch.Tensor:
        seen.append(len(batch))
        if len(seen) == 3:
            raise KeyboardInterrupt
        return encode_image(clip, batch, projector)

    monkeypatch.setattr(embedding, "encode_image", interrupted)
    out = tmp_path / "f.safetensors"
    with pytest.raises(KeyboardInterrupt):
        embed(work=tmp_path / "work", model=models["ours"], images=images, out=out, limits=INLINE)
    assert not out.exists()
    embed(work=tmp_path / "work", model=models["ours"], images=images, out=out, limits=INLINE)
    assert seen == [4, 4, 4, 4]
    assert out.read_bytes() == whole_run.read_bytes()
    assert not list((tmp_path / "work").rglob("*.npy"))


def test_another_run_adopts_what_was_embedded_and_never_takes_another_models(
    models: dict[str, str], images: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "one" / "tiny.safetensors", tmp_path / "two" / "tiny.safetensors"
    embed(work=tmp_path / "work", model=models["ours"], images=images, out=first, limits=INLINE)
    (tmp_path / "4.png").unlink()
    embed(work=tmp_path / "work", model=models["ours"], images=images, out=second, limits=INLINE)
    assert second.read_bytes() == first.read_bytes()
    with pytest.raises(InputError, match=r"4\.png"):
        embed(work=tmp_path / "work", model=models["start"], images=images, out=second, limits=INLINE)
    assert second.exists(), "what was there stays until something whole takes its place"


def test_a_timm_model_embeds_by_its_own_preprocessing(vision_model: str, images: Path, tmp_path: Path) -> None:
    out = tmp_path / "f.safetensors"
    embed(work=tmp_path / "work", model=vision_model, images=images, out=out, limits=INLINE)
    clip = load(vision_model)
    assert not clip.has_text
    assert clip.image_size == 32
    with Image.open(tmp_path / "0.png") as image:
        expected = encode_image(clip, preprocess(clip)(image.convert("RGB"))[None])
    assert read_features(out).vectors.shape == (12, 24)
    np.testing.assert_allclose(read_features(out).vectors[0], expected[0].numpy(), atol=1e-5)
    with pytest.raises(InputError, match="no text tower"):
        text_features(clip, ["a magpie"])


def test_a_folder_that_is_not_a_timm_model_is_named(models: dict[str, str]) -> None:
    with pytest.raises(InputError, match=r"timm.*config\.json"):
        load(f"timm:{models['ours']}")
