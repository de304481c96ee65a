"""Published versions are scored on images as their code decodes them: plain Pillow, without orientation or profiles."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.evaluate.scoring import score_layout
from workflow_scripts.common.accounts import read_account
from workflow_scripts.common.clip import encode_image, load, preprocess
from workflow_scripts.common.config.evaluate import BenchmarkSettings, EmbedLimits
from workflow_scripts.common.documents import read_document
from workflow_scripts.common.images import decode
from workflow_scripts.common.tables import read_rows
from workflow_scripts.contracts import BENCHMARK_IMAGES, BENCHMARK_SCORES
from workflow_scripts.evaluate.csv.index import index_csv
from workflow_scripts.evaluate.embed import embed
from workflow_scripts.evaluate.features import Features, read_features
from workflow_scripts.evaluate.label_files import DIFFERING

TURNED = 0x0112
# Kinds of images, and whether the published code decodes them to other pixels.
KINDS = {
    "plain": False,
    "upright by its EXIF": False,
    "grey": False,
    "turned": True,
    "transparent": True,
    "mirrored": True,
    "large": False,
}


def picture(kind: str, seed: int) -> bytes:
    """An image of noise of one of the kinds."""
    # Large: hashed at a reduced scale.
    size = (1500, 1600, 3) if kind == "large" else (40, 56, 3)
    pixels = np.random.default_rng(seed).integers(0, 256, size, np.uint8)
    image, given = Image.fromarray(pixels), dict[str, Any]()
    exif = Image.Exif()
    if kind in ("turned", "mirrored", "upright by its EXIF"):
        exif[TURNED] = {"turned": 6, "mirrored": 2}.get(kind, 1)
        given = {"exif": exif}
    if kind == "grey":
        image = image.convert("L")
    if kind == "transparent":
        image.putalpha(Image.fromarray(pixels[..., 0]))
    packed = io.BytesIO()
    image.save(packed, "PNG" if kind in ("transparent", "large") else "JPEG", **given)
    return packed.getvalue()


@pytest.fixture
def benchmark_of_kinds(tmp_path: Path) -> Path:
    """Two classes of each kind of image twice, indexed."""
    folder = tmp_path / "photos"
    folder.mkdir()
    lines = ["filepath,class"]
    for number, kind in enumerate([*KINDS, *KINDS]):
        (folder / f"{number}.img").write_bytes(picture(kind, number))
        lines.append(f"{number}.img,{'ab'[number % 2]}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    out = tmp_path / "images.parquet"
    index_csv(name="kinds", settings=spec(tmp_path).spec, out=out, account=tmp_path / "account.json")
    return out


def spec(folder: Path) -> BenchmarkSettings:
    place = {"labels": str(folder / "labels.csv"), "images": str(folder / "photos")}
    return BenchmarkSettings.model_validate({"layout": "csv", "shots": [1], **place})


def test_the_account_says_how_many_images_the_published_code_decodes_otherwise(benchmark_of_kinds: Path) -> None:
    rows = read_rows(benchmark_of_kinds, BENCHMARK_IMAGES).to_pylist()
    assert [row["differs"] for row in rows] == [*KINDS.values()] * 2
    for row in rows:
        plain = np.asarray(Image.open(row["path"]).convert("RGB"))
        assert np.array_equal(plain, decode(Path(row["path"]).read_bytes())) != row["differs"]
    assert read_account(benchmark_of_kinds.with_name("account.json")).notes[DIFFERING] == 6


def test_only_images_that_differ_are_embedded_again_and_published_versions_take_them(
    benchmark_of_kinds: Path, models: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each protocol's features equal those of its images embedded one by one; 14 + 6 images go through the model."""
    embedded: list[int] = []

    def counted(clip: Any, batch: torch.Tensor, projector: Any) -> torch.Tensor:
        embedded.append(len(batch))
        return encode_image(clip, batch, projector)

    monkeypatch.setattr("workflow_scripts.common.embedding.encode_image", counted)
    out = tmp_path / "ours.safetensors"
    given = {"images": benchmark_of_kinds, "limits": EmbedLimits(workers=0), "work": tmp_path / "work"}
    embed(model=models["ours"], out=out, **given)
    assert sum(embedded) == 14 + 6
    features, clip = read_features(out), load(models["ours"])
    transform = preprocess(clip)
    for row, kind in enumerate([*KINDS, *KINDS]):
        data = (tmp_path / f"photos/{row}.img").read_bytes()
        plain = transform(Image.open(io.BytesIO(data)).convert("RGB"))
        corrected = transform(Image.fromarray(decode(data)))
        for protocol, pixels in (("v1.0.1", plain), ("main-49e1cf5", plain), ("corrected", corrected)):
            expected = encode_image(clip, pixels[None])[0].numpy()
            np.testing.assert_allclose(features.for_protocol(protocol)[row], expected, atol=1e-5)
        assert np.allclose(features.for_protocol("v2.0.0")[row], features.vectors[row], atol=1e-5) != KINDS[kind]

    score_layout(
        benchmark="kinds",
        settings=spec(tmp_path),
        images=benchmark_of_kinds,
        models={"ours": models["ours"]},
        features={"ours": out},
        out_dir=tmp_path / "s",
    )
    protocols = read_document(tmp_path / "s/ours/kinds.json", BENCHMARK_SCORES)["protocols"]
    assert protocols["v1.0.1/zero_shot/top1"] == ["v1.0.1", "v2.0.0", "main-49e1cf5"]
    assert protocols["zero_shot/top1"] == ["corrected"]
    assert protocols["main-49e1cf5/few_shot/1"] == ["main-49e1cf5"]


def test_versions_without_autocast_take_the_features_made_without_it() -> None:
    """As on a GPU: FishNet, AwA2, NeWT and Herbarium19 of v1.0.1 and v2.0.0; PlantDoc and all else are autocast."""
    vectors = [np.full((2, 3), number, np.float32) for number in range(3)]
    features = Features(vectors[0], np.arange(2), None, published=vectors[1], precise=vectors[2])  # type: ignore[arg-type]
    protocols = ("v1.0.1", "v2.0.0", "main-49e1cf5", "corrected")
    assert [features.for_protocol(one, autocast=False)[0, 0] for one in protocols] == [2, 2, 1, 0]  # type: ignore[arg-type]
    assert [features.for_protocol(one)[0, 0] for one in protocols] == [1, 1, 1, 0]  # type: ignore[arg-type]
