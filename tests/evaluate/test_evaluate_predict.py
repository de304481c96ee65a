"""A folder of images and a list of species give the most probable taxa of each image."""

import csv
import json
import os
import shutil
import signal
import struct
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from PIL import ExifTags, Image

from tests.evaluate.image_options import with_flat_options
from tests.messages import says
from workflow_scripts.common.captions import caption
from workflow_scripts.common.clip import Clip, load
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.prompts import text_features
from workflow_scripts.common.tables import write_rows
from workflow_scripts.contracts import LABELS, SEEN_SPECIES
from workflow_scripts.evaluate import predict as module
from workflow_scripts.evaluate.candidates import read_species_list
from workflow_scripts.evaluate.features import weights_digest

predict = with_flat_options(module.predict)
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


def status_of(**options: Any) -> int:
    """The exit status of a prediction."""
    try:
        predict(**{"templates": "one", "workers": 0, "threads": 1, **options})
    except SystemExit as ended:
        return int(str(ended.code))
    return 0


@pytest.fixture
def on_axes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Species features are unit axes, each image is nearest to the third, temperature 1. Collects the prompts."""
    prompts: list[str] = []
    epithets = ("hudsonia", "corax", "cornix", "mellifera")

    def texts(clip: Clip, given: Sequence[str]) -> Any:
        prompts.extend(given)
        which = [next(n for n, epithet in enumerate(epithets) if epithet in text) for text in given]
        return np.eye(16, dtype=np.float32)[which]

    image = np.zeros(16, np.float32)
    image[:4] = 0.1, 0.5, 0.7, 0.5
    image[4] = np.sqrt(1 - (image**2).sum())
    monkeypatch.setattr(module, "text_features", texts)
    monkeypatch.setattr(module, "encode", lambda clip, pixels: np.tile(image, (len(pixels), 1)))
    return prompts


def test_probabilities_are_a_softmax_and_sum_up_the_ranks(
    models: dict[str, str], on_axes: list[str], pictures: Path, species: Path, tmp_path: Path
) -> None:
    scale = load(models["ours"]).model.logit_scale.exp().item()
    powers = np.exp(scale * np.array([0.1, 0.5, 0.7, 0.5]))
    expected = powers / powers.sum()
    given = {"model": models["ours"], "images": (pictures,), "species": species}
    assert status_of(out=tmp_path / "s.csv", **given) == 3
    rows = rows_of(tmp_path / "s.csv")
    found, [broken] = rows[:4], [row for row in rows if row["error"]]
    assert [row["species"] for row in found] == ["cornix", "corax", "mellifera", "hudsonia"]
    assert [row["place"] for row in found] == ["1", "2", "3", "4"]
    assert [float(row["probability"]) for row in found] == pytest.approx(expected[[2, 1, 3, 0]], abs=1e-6)
    assert (found[1]["scientific_name"], found[1]["common_name"]) == ("Corvus corax", "common raven")
    assert (broken["image"], broken["place"]) == ("broken.jpg", "")
    assert on_axes == [
        "a photo of Animalia Aves Pica hudsonia with common name black-billed magpie.",
        "a photo of Animalia Aves Corvus corax with common name common raven.",
        "a photo of Animalia Aves Corvus cornix.",
        "a photo of Animalia Insecta Apis mellifera.",
    ]
    assert status_of(out=tmp_path / "g.parquet", rank="genus", top=2, **given) == 3
    genera = pl.read_parquet(tmp_path / "g.parquet").filter(pl.col("image") == "a.png")
    assert genera["genus"].to_list() == genera["scientific_name"].to_list() == ["Corvus", "Apis"]
    assert genera["probability"].to_list() == pytest.approx([expected[1] + expected[2], expected[3]], abs=1e-6)
    assert "species" not in genera.columns


def test_every_image_of_the_folder_is_answered_and_the_broken_one_named(
    models: dict[str, str], pictures: Path, species: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "s.csv"
    assert status_of(model=models["ours"], images=(pictures,), out=out, species=species, top=1) == 3
    rows = {row["image"]: row for row in rows_of(out)}
    assert set(rows) == {"a.png", "deep/b & c.JPG", "broken.jpg"}
    assert "not_an_image" in rows["broken.jpg"]["error"]
    told = capsys.readouterr()
    assert says(told.out, "2 of 3 images", "1 could not be read", str(out))
    assert (told.out + told.err).count("broken.jpg") == 1


def test_a_broken_image_keeps_its_name_whatever_is_in_it(
    models: dict[str, str], pictures: Path, species: Path, tmp_path: Path
) -> None:
    (pictures / "Pica: a note.jpg").write_bytes(b"<html>")
    out = tmp_path / "s.csv"
    assert status_of(model=models["ours"], images=(pictures,), out=out, species=species, top=1) == 3
    assert {row["image"] for row in rows_of(out) if row["error"]} == {"broken.jpg", "Pica: a note.jpg"}


def test_a_file_of_another_kind_stops_no_other(
    models: dict[str, str], pictures: Path, species: Path, tmp_path: Path
) -> None:
    """A DDS texture of an unknown pixel format, for which Pillow raises an unusual exception."""
    header = [124, 0, 16, 16, *[0] * 15, 1 << 29, *[0] * 11]
    (pictures / "texture.jpg").write_bytes(b"DDS " + struct.pack("<31I", *header))
    out = tmp_path / "s.csv"
    assert status_of(model=models["ours"], images=(pictures,), out=out, species=species, top=1) == 3
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
    """Whether the two images of a folder get the same, complete predictions."""
    out = folder.with_suffix(".csv")
    assert status_of(model=model, images=(folder,), out=out, species=species, batch=1) == 0
    one, other = sorted(folder.iterdir())
    told = [[row["probability"] for row in rows_of(out) if row["image"] == path.name] for path in (one, other)]
    assert len(told[0]) == 4
    return told[0] == told[1]


def test_a_rotated_photo_is_judged_upright(models: dict[str, str], species: Path, tmp_path: Path) -> None:
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
    """The EXIF width is text, on which Pillow fails when it rotates the photo."""
    entries = struct.pack("<HHI4s", 0x0100, 2, 4, b"abc\0") + struct.pack(
        "<HHIHH", ExifTags.Base.Orientation, 3, 1, 6, 0
    )
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + entries + bytes(4)
    Image.effect_noise((40, 50), 90).convert("RGB").save(pictures / "odd.jpg", exif=exif)
    out = tmp_path / "s.csv"
    assert status_of(model=models["ours"], images=(pictures,), out=out, species=species, top=1) == 3
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
    assert status_of(model=models["ours"], images=(pictures,), out=out, corpus=tmp_path / "c") == 3
    assert {row["species"] for row in rows_of(out)} == {"hudsonia", ""}


def test_images_without_a_prediction_are_reported(
    models: dict[str, str], vision_model: str, pictures: Path, species: Path, tmp_path: Path
) -> None:
    out = tmp_path / "s.csv"
    given: dict[str, Any] = {"model": models["ours"], "images": (pictures,), "out": out, "species": species}
    (tmp_path / "empty").mkdir()
    (tmp_path / "names.csv").write_text("name\nmagpie\n")
    pathless = tmp_path / "pathless.csv"
    pathless.write_text("path,n\n,1\n,2\n")
    urls = tmp_path / "urls.csv"
    urls.write_text("url,species\nhttp://a/b.jpg,Pica hudsonia\n")
    for changed, complaint in (
        ({"out": tmp_path / "s.txt"}, ".csv .parquet"),
        ({"species": None}, "--species --corpus"),
        ({"corpus": tmp_path}, "--species --corpus"),
        ({"images": (tmp_path / "nowhere",)}, "nowhere no such file or folder"),
        ({"images": (tmp_path / "empty",)}, "empty no images"),
        ({"images": (urls,)}, "urls.csv no column path url --path-column"),
        ({"images": (species, pictures)}, "species.csv table alone"),
        ({"folder": tmp_path}, "--folder"),
        ({"model": vision_model}, "no text tower"),
        ({"species": tmp_path / "names.csv"}, "names.csv genus species scientific_name found name"),
        ({"species": tmp_path / "empty"}, "--species empty table txt_emb_species.npy"),
        ({"species": tmp_path / "none.csv"}, "--species none.csv no such file"),
        ({"species": None, "corpus": tmp_path}, "--corpus results/corpora/NAME"),
        ({"images": (pictures / "broken.jpg",)}, "none of 1 images broken.jpg not_an_image"),
        ({"images": (pathless,)}, "none of 2 images row 1: no path"),
        ({"top": 0}, "--top"),
        ({"threads": 0}, "--threads"),
        ({"batch": 0}, "--batch"),
        ({"out": species / "s.csv"}, "s.csv cannot be written"),
        ({"out": species, "overwrite": True}, "species.csv is also an input --out"),
        ({"out": urls, "images": (urls,), "overwrite": True}, "urls.csv is also an input --out"),
        ({"images": ()}, "--images"),
        ({"darwin_core": True, "out": None}, "--darwin-core --out"),
        ({"identified_by": "me"}, "--identified-by --darwin-core"),
    ):
        with pytest.raises(InputError) as refused:
            predict(**given | changed)
        assert says(str(refused.value), *complaint.split()), changed
    assert not out.exists()


def test_one_image_or_some_are_named_as_they_are_typed_and_printed(
    models: dict[str, str], on_axes: list[str], pictures: Path, species: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    several = (pictures / "a.png", pictures / "deep")
    assert status_of(model=models["ours"], images=several, species=species, top=1) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0::2] == [str(pictures / "a.png"), str(pictures / "deep/b & c.JPG")]
    assert all(says(line, "0.9", "Corvus cornix") or says(line, "Corvus cornix") for line in told[1::2])


def test_json_has_a_line_for_each_image(
    models: dict[str, str], on_axes: list[str], pictures: Path, species: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of(model=models["ours"], images=(pictures,), species=species, top=2, json_lines=True) == 3
    first, second, third = map(json.loads, capsys.readouterr().out.splitlines())
    assert [one["image"] for one in (first, second, third)] == ["a.png", "broken.jpg", "deep/b & c.JPG"]
    assert (second["predictions"], first["error"], third["given"]) == ([], None, {})
    assert "not_an_image" in second["error"]
    best, _ = first["predictions"]
    assert best | {"probability": 0} == {
        "kingdom": "Animalia", "class": "Aves", "genus": "Corvus", "species": "cornix",
        "scientific_name": "Corvus cornix", "probability": 0,
    }  # fmt: skip


@pytest.fixture
def specimens(pictures: Path) -> Path:
    """A table of images as a museum exports it: from Windows, with columns that prediction has too."""
    table = pictures.parent / "specimens.csv"
    table.write_text(
        "occurrenceID;catalogNumber;file name;species;identifiedBy\n"
        "urn:1;0017;pictures\\deep\\b & c.JPG;Pica pica;L.\nurn:2;0018;pictures/gone.jpg;;\n"
        "urn:3;0019;pictures/a.png;;\n"
    )
    return table


def test_a_tables_columns_stay_with_its_images(
    models: dict[str, str], on_axes: list[str], specimens: Path, species: Path, tmp_path: Path
) -> None:
    out = tmp_path / "s.csv"
    assert status_of(model=models["ours"], images=(specimens,), species=species, top=1, out=out) == 3
    first, gone, last = rows_of(out)
    assert (first["occurrenceID"], first["catalogNumber"], first["given_species"]) == ("urn:1", "0017", "Pica pica")
    assert (first["species"], first["identifiedBy"], first["place"]) == ("cornix", "L.", "1")
    assert says(gone["error"], "No such file") and gone["catalogNumber"] == "0018"
    assert (last["image"], last["occurrenceID"], last["species"]) == ("pictures/a.png", "urn:3", "cornix")
    again = tmp_path / "again.parquet"
    given = {"folder": specimens.parent, "path_column": "image", "model": models["ours"], "species": species}
    assert status_of(images=(out,), top=1, out=again, **given) == 3
    assert pl.read_parquet(again)["image"].to_list() == [row["image"] for row in (first, gone, last)]


def test_darwin_core_identifications_have_the_standards_terms(
    models: dict[str, str], on_axes: list[str], specimens: Path, species: Path, tmp_path: Path
) -> None:
    out = tmp_path / "identifications.csv"
    given = {"model": models["ours"], "images": (specimens,), "species": species, "out": out, "darwin_core": True}
    assert status_of(top=2, **given) == 3
    rows = rows_of(out)
    assert [row["occurrenceID"] for row in rows] == ["urn:1", "urn:1", "urn:3", "urn:3"]
    first = rows[0]
    expected = {
        "catalogNumber": "0017", "given_identifiedBy": "L.", "identifiedBy": "ours", "scientificName": "Corvus cornix",
        "taxonRank": "species", "kingdom": "Animalia", "phylum": "", "class": "Aves", "genus": "Corvus",
        "specificEpithet": "cornix", "verbatimIdentification": "Animalia Aves Corvus cornix",
        "identificationVerificationStatus": "PredictedByMachine",
        "associatedMedia": "pictures\\deep\\b & c.JPG", "vernacularName": "",
    }  # fmt: skip
    assert {name: first[name] for name in expected} == expected
    assert abs(date.fromisoformat(first["dateIdentified"]) - datetime.now(UTC).date()) <= timedelta(1)
    assert says(
        first["identificationRemarks"], "machine", "choice 1 among 4 species", weights_digest(load(models["ours"]))
    )
    assert rows[1]["vernacularName"] == "common raven"
    assert status_of(rank="genus", top=1, identified_by="A. Person", overwrite=True, **given) == 3
    genus = rows_of(out)[0]
    assert (genus["scientificName"], genus["taxonRank"], genus["specificEpithet"]) == ("Corvus", "genus", "")
    assert (genus["identifiedBy"], genus["verbatimIdentification"]) == ("A. Person", "Animalia Aves Corvus")


def test_a_subspecies_has_both_epithets_and_no_rank_that_it_is_not(
    models: dict[str, str], specimens: Path, species: Path, tmp_path: Path
) -> None:
    species.write_text("genus,species\nCanis,lupus familiaris\n")
    out = tmp_path / "identifications.csv"
    given = {"model": models["ours"], "images": (specimens,), "species": species, "out": out, "darwin_core": True}
    assert status_of(**given) == 3
    row = rows_of(out)[0]
    assert (row["scientificName"], row["taxonRank"]) == ("Canis lupus familiaris", "")
    assert (row["genus"], row["specificEpithet"], row["infraspecificEpithet"]) == ("Canis", "lupus", "familiaris")


@pytest.fixture
def two_images(models: dict[str, str], pictures: Path, species: Path) -> dict[str, Any]:
    """Arguments of a prediction of two images, one per batch."""
    (pictures / "broken.jpg").unlink()
    return {"model": models["ours"], "images": (pictures,), "species": species, "batch": 1, "top": 1}


def test_a_sheet_that_is_too_large_is_read_with_the_named_option(
    two_images: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    [folder] = two_images["images"]
    Image.effect_noise((60, 50), 90).convert("RGB").save(folder / "sheet.png")
    assert status_of(max_pixels=2999, **two_images) == 3
    assert says(capsys.readouterr().err, "sheet.png", "too_large", "--max-pixels")
    assert status_of(max_pixels=3000, **two_images) == 0


def test_a_file_whose_name_is_not_utf_8_is_answered(two_images: dict[str, Any], tmp_path: Path) -> None:
    [folder] = two_images["images"]
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.png")).write_bytes((folder / "a.png").read_bytes())
    assert status_of(out=tmp_path / "s.csv", **two_images) == 0
    rows = {row["image"]: row for row in rows_of(tmp_path / "s.csv")}
    assert rows["caf\N{REPLACEMENT CHARACTER}.png"]["probability"] == rows["a.png"]["probability"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_keeps_what_is_done(
    two_images: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: int,
) -> None:
    out, before, embedded = tmp_path / "s.csv", signal.getsignal(number), module.encode
    batches: list[int] = []

    def stopped(clip: Clip, pixels: torch.Tensor) -> Any:
        batches.append(len(pixels))
        if len(batches) == 2:
            os.kill(os.getpid(), number)
        return embedded(clip, pixels)

    monkeypatch.setattr(module, "encode", stopped)
    assert status_of(out=out, **two_images) == 128 + number
    assert [row["image"] for row in rows_of(out)] == ["a.png"]
    assert says(capsys.readouterr().out, "1 of 2 images", "interrupted", "1 not processed", str(out))
    assert signal.getsignal(number) == before


def test_a_stop_before_the_first_answer_leaves_an_earlier_table(
    models: dict[str, str], pictures: Path, species: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "s.csv"
    out.write_text("earlier")
    monkeypatch.setattr(module, "encode", lambda *_: os.kill(os.getpid(), signal.SIGINT))
    given: dict[str, Any] = {"model": models["ours"], "images": (pictures,), "species": species, "out": out}
    assert status_of(overwrite=True, **given) == 130
    with pytest.raises(InputError) as refused:
        predict(**given)
    assert says(str(refused.value), "s.csv", "exists", "--out", "--overwrite")
    assert out.read_text() == "earlier"


def test_embeddings_of_names_replace_a_list(
    models: dict[str, str], pictures: Path, species: Path, tmp_path: Path
) -> None:
    """Embeddings stored with the model are used by default; embeddings of another size are refused."""
    typed = tmp_path / "model"
    shutil.copytree(models["ours"].removeprefix("local-dir:"), typed)
    (pictures / "broken.jpg").unlink()
    given: dict[str, Any] = {"model": str(typed), "images": (pictures,), "top": 4}
    assert status_of(species=species, out=tmp_path / "listed.csv", **given) == 0
    taxa = read_species_list(species)
    names = [[list(taxon.ranks), taxon.common_name] for taxon in taxa]
    (typed / "txt_emb_species.json").write_text(json.dumps(names))
    texts = [caption(taxon, "taxon_com") if taxon.common_name else caption(taxon, "taxon") for taxon in taxa]
    np.save(typed / "txt_emb_species.npy", text_features(load(models["ours"]), texts).T)
    assert status_of(out=tmp_path / "beside.csv", **given) == 0
    assert status_of(species=typed, out=tmp_path / "named.csv", **given) == 0
    from_list, beside, named = (rows_of(tmp_path / f"{name}.csv") for name in ("listed", "beside", "named"))
    assert beside == named
    assert [row | {"probability": ""} for row in beside] == [row | {"probability": ""} for row in from_list]
    expected = [float(row["probability"]) for row in from_list]
    assert [float(row["probability"]) for row in beside] == pytest.approx(expected, abs=1e-4)
    np.save(typed / "txt_emb_species.npy", np.zeros((8, len(taxa)), np.float32))
    with pytest.raises(InputError, match=r"8 dimensions.*16"):
        predict(**given)
    np.save(typed / "txt_emb_species.npy", np.zeros((16, 2), np.float32))
    with pytest.raises(InputError, match=r"16 x 2.*4 species"):
        predict(**given)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("plain.txt", "Pica hudsonia\nCorvus corax\n"),
        ("noted.txt", "\ufeff# my garden, 2026\n\nPica hudsonia\n#also\nCorvus corax\n"),
        ("table.txt", "#id\tscientificName\n1\tPica hudsonia\n2\tCorvus corax\n"),
        ("german.csv", "Gattung;species;Name\n;Pica hudsonia;x\n;Corvus corax;y\n"),
        ("dwc.tsv", "scientificName\tgenus\nPica hudsonia\tPica\nCorvus corax\tCorvus\n"),
    ],
)
def test_lists_of_species_are_read_as_people_keep_them(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    found = read_species_list(tmp_path / name)
    assert [taxon.ranks[-2:] for taxon in found] == [("Pica", "hudsonia"), ("Corvus", "corax")]
    assert [taxon.scientific for taxon in found] == ["Pica hudsonia", "Corvus corax"]


def test_a_list_without_a_name_is_told_to_have_one_on_each_line(tmp_path: Path) -> None:
    path = tmp_path / "empty.txt"
    for text in ("", "# nothing yet\n"):
        path.write_text(text)
        with pytest.raises(InputError, match=r"empty\.txt: .*name.* each line"):
            read_species_list(path)


@pytest.mark.parametrize("name", ["gone.txt", "gone.csv"])
def test_a_missing_list_of_species_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=name):
        read_species_list(tmp_path / name)
