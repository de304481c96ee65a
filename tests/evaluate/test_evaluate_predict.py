"""A folder of images and a list of species give the most probable taxa of each image."""

import csv
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import ExifTags, Image

from workflow_scripts.common.clip import Clip, load
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.tables import write_rows
from workflow_scripts.contracts import LABELS, SEEN_SPECIES
from workflow_scripts.evaluate import predict as module
from workflow_scripts.evaluate.predict import predict

LIST = """kingdom,cls,genus,species,common_name,class
Animalia,Aves,Pica,hudsonia,black-billed magpie,x
Animalia,Aves,Corvus,Corvus corax,common raven,y
Animalia,Aves,Corvus,cornix,,z
Animalia,Insecta,Apis,mellifera,,w
Animalia,Aves,Pica,hudsonia,black-billed magpie,x
"""


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    (folder / "deep").mkdir(parents=True)
    for name in ("a.png", "deep/b & c.JPG"):
        Image.effect_noise((40, 50), 90).convert("RGB").save(folder / name)
    (folder / "broken.jpg").write_bytes(b"<html>")
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.fixture
def species(tmp_path: Path) -> Path:
    path = tmp_path / "species.csv"
    path.write_text(LIST)
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def on_axes(models: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Each species lies on its axis, each image nearest the third's; the temperature is 1. What prompts are made of."""
    prompts: list[str] = []
    epithets = ("hudsonia", "corax", "cornix", "mellifera")

    def texts(clip: Clip, given: Sequence[str]) -> Any:
        prompts.extend(given)
        which = [next(n for n, epithet in enumerate(epithets) if epithet in text) for text in given]
        return np.eye(16, dtype=np.float32)[which]

    monkeypatch.setattr(module, "text_features", texts)
    image = np.zeros(16, np.float32)
    image[:4] = 0.1, 0.5, 0.7, 0.5
    image[4] = np.sqrt(1 - (image**2).sum())
    monkeypatch.setattr(module, "_embedded", fixed(image))
    return prompts


def fixed(image: Any) -> Any:
    def embedded(*_: object) -> Any:
        yield ["a.png"], image[None], [("broken.jpg", "gone")]

    return embedded


def test_probabilities_are_a_softmax_and_sum_up_the_ranks(
    models: dict[str, str], on_axes: list[str], pictures: Path, species: Path, tmp_path: Path
) -> None:
    scale = load(models["ours"]).model.logit_scale.exp().item()
    powers = np.exp(scale * np.array([0.1, 0.5, 0.7, 0.5]))
    expected = powers / powers.sum()
    predict(model=models["ours"], images=pictures, out=tmp_path / "s.csv", species=species, templates="one")
    *found, broken = rows_of(tmp_path / "s.csv")
    assert [row["species"] for row in found] == ["cornix", "corax", "mellifera", "hudsonia"]
    assert [row["place"] for row in found] == ["1", "2", "3", "4"]
    assert [float(row["probability"]) for row in found] == pytest.approx(expected[[2, 1, 3, 0]], abs=1e-6)
    assert found[1]["common_name"] == "common raven"
    assert (broken["image"], broken["error"], broken["place"]) == ("broken.jpg", "gone", "")
    assert on_axes == [
        "a photo of Animalia Aves Pica hudsonia with common name black-billed magpie.",
        "a photo of Animalia Aves Corvus corax with common name common raven.",
        "a photo of Animalia Aves Corvus cornix.",
        "a photo of Animalia Insecta Apis mellifera.",
    ]
    predict(
        model=models["ours"], images=pictures, out=tmp_path / "g.parquet", species=species, rank="genus", top=2,
        templates="one",
    )  # fmt: skip
    genera = pl.read_parquet(tmp_path / "g.parquet").filter(pl.col("error").is_null())
    assert genera["genus"].to_list() == ["Corvus", "Apis"]
    assert genera["probability"].to_list() == pytest.approx([expected[1] + expected[2], expected[3]], abs=1e-6)
    assert "species" not in genera.columns


def test_every_image_of_the_folder_is_answered_and_the_broken_one_named(
    models: dict[str, str], pictures: Path, species: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "s.csv"
    predict(model=models["ours"], images=pictures, out=out, species=species, templates="one", top=1, workers=0, batch=1)
    rows = {row["image"]: row for row in rows_of(out)}
    assert set(rows) == {"a.png", "deep/b & c.JPG", "broken.jpg"}
    assert "not_an_image" in rows["broken.jpg"]["error"]
    assert "2 images, 1 unreadable" in capsys.readouterr().out


def test_a_broken_image_keeps_its_name_whatever_is_in_it(
    models: dict[str, str], pictures: Path, species: Path, tmp_path: Path
) -> None:
    (pictures / "Pica: a note.jpg").write_bytes(b"<html>")
    out = tmp_path / "s.csv"
    predict(model=models["ours"], images=pictures, out=out, species=species, templates="one", top=1, workers=0)
    assert {row["image"] for row in rows_of(out) if row["error"]} == {"broken.jpg", "Pica: a note.jpg"}


def test_a_file_of_another_kind_stops_no_other(
    models: dict[str, str], pictures: Path, species: Path, tmp_path: Path
) -> None:
    """A texture (DDS) of an unknown pixel format, for which Pillow's reader raises what nobody expects."""
    header = [124, 0, 16, 16, *[0] * 15, 1 << 29, *[0] * 11]
    (pictures / "texture.jpg").write_bytes(b"DDS " + struct.pack("<31I", *header))
    out = tmp_path / "s.csv"
    predict(model=models["ours"], images=pictures, out=out, species=species, templates="one", top=1, workers=0)
    rows = {row["image"]: row for row in rows_of(out)}
    assert "not_an_image" in rows["texture.jpg"]["error"]
    assert not rows["a.png"]["error"]


def pictures_by_decoder() -> dict[str, tuple[Image.Image, Image.Image]]:
    """Pairs of files that training decodes to the same pixels."""
    grey = Image.linear_gradient("L")
    deep = Image.fromarray(np.asarray(grey, np.uint16) << 8)
    layer = Image.merge("RGBA", [grey, grey, grey, Image.linear_gradient("L").rotate(90)])
    paper = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return {"depth": (grey.convert("RGB"), deep), "alpha": (paper, layer)}


@pytest.mark.parametrize("what", ["depth", "alpha"])
def test_deep_and_transparent_images_are_decoded_as_in_training(
    models: dict[str, str], species: Path, tmp_path: Path, what: str
) -> None:
    """Sixteen bits keep their upper eight, and alpha lies on white."""
    folder = tmp_path / "images"
    folder.mkdir()
    plain, other = pictures_by_decoder()[what]
    plain.save(folder / "plain.png")
    other.save(folder / "other.png")
    assert answered_alike(models["ours"], folder, species)


def answered_alike(model: str, folder: Path, species: Path) -> bool:
    """Whether the two images of a folder are answered alike, and wholly."""
    out = folder.with_suffix(".csv")
    predict(model=model, images=folder, out=out, species=species, templates="one", workers=0, batch=1)
    one, other = sorted(folder.iterdir())
    told = [[row["probability"] for row in rows_of(out) if row["image"] == path.name] for path in (one, other)]
    assert len(told[0]) == 4
    return told[0] == told[1]


def test_a_photo_that_was_taken_sideways_is_looked_at_upright(
    models: dict[str, str], species: Path, tmp_path: Path
) -> None:
    """As training images are."""
    folder = tmp_path / "turned"
    folder.mkdir()
    upright = Image.linear_gradient("L").convert("RGB")
    sideways = Image.Exif()
    sideways[ExifTags.Base.Orientation] = 6
    upright.save(folder / "upright.png")
    upright.transpose(Image.Transpose.ROTATE_90).save(folder / "sideways.png", exif=sideways)
    assert answered_alike(models["ours"], folder, species)


def test_a_photo_whose_exif_makes_no_sense_is_answered_all_the_same(
    models: dict[str, str], pictures: Path, species: Path, tmp_path: Path
) -> None:
    """Its width is a word; Pillow stumbles when it turns the photo."""
    entries = struct.pack("<HHI4s", 0x0100, 2, 4, b"abc\0") + struct.pack(
        "<HHIHH", ExifTags.Base.Orientation, 3, 1, 6, 0
    )
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + entries + bytes(4)
    Image.effect_noise((40, 50), 90).convert("RGB").save(pictures / "odd.jpg", exif=exif)
    out = tmp_path / "s.csv"
    predict(model=models["ours"], images=pictures, out=out, species=species, templates="one", top=1, workers=0)
    assert {row["image"] for row in rows_of(out) if row["error"]} == {"broken.jpg"}


def test_the_species_of_a_corpus_are_those_it_trains_on(models: dict[str, str], pictures: Path, tmp_path: Path) -> None:
    resolved = {"match_type": "exact", "strategy": "exact", "confidence": 1.0, "images": 3}
    labels = [
        {"label_id": "1", "kingdom": "Animalia", "genus": "Pica", "species": "hudsonia", **resolved},
        {"label_id": "2", "kingdom": "Animalia", "genus": "Corvus", "species": "corax", **resolved},
    ]
    write_rows(labels, LABELS, tmp_path / "c/taxonomy/labels.parquet")
    write_rows([{"species": "pica hudsonia", "images": 3}], SEEN_SPECIES, tmp_path / "c/curate/seen_species.parquet")
    out = tmp_path / "s.csv"
    predict(model=models["ours"], images=pictures, out=out, corpus=tmp_path / "c", templates="one", workers=0)
    assert {row["species"] for row in rows_of(out)} == {"hudsonia", ""}


def test_what_cannot_be_predicted_is_said(
    models: dict[str, str], vision_model: str, pictures: Path, species: Path, tmp_path: Path
) -> None:
    out = tmp_path / "s.csv"
    with pytest.raises(InputError, match=r"\.csv.*\.parquet"):
        predict(model=models["ours"], images=pictures, out=tmp_path / "s.txt", species=species)
    with pytest.raises(InputError, match="give --species or --corpus"):
        predict(model=models["ours"], images=pictures, out=out)
    for folder, complaint in (("nowhere", "no such folder"), ("empty", "no images in it")):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(InputError, match=complaint):
            predict(model=models["ours"], images=tmp_path / folder, out=out, species=species)
    with pytest.raises(InputError, match="no text tower"):
        predict(model=vision_model, images=pictures, out=out, species=species)
    species.write_text("name\nmagpie\n")
    with pytest.raises(InputError, match="names no taxon"):
        predict(model=models["ours"], images=pictures, out=out, species=species)
    assert not out.exists()
