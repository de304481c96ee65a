"""The published label files are read into the right classes, with prompts as the protocol writes them.

They are data of others and not in the repository: the environment variable names the folder that has them.
"""

import csv
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import simplejpeg

from workflow_scripts.common import tables
from workflow_scripts.common.accounts import read_account
from workflow_scripts.common.config.evaluate import LabelledFolder, SubsetsBenchmark
from workflow_scripts.common.prompts import TEMPLATES
from workflow_scripts.contracts import BENCHMARK_IMAGES
from workflow_scripts.evaluate.classes import Classes
from workflow_scripts.evaluate.csv.index import read_labels
from workflow_scripts.evaluate.csv.texts import class_name
from workflow_scripts.evaluate.herbarium19.pickled import read_pickled_lists
from workflow_scripts.evaluate.indexing import Labelled
from workflow_scripts.evaluate.subsets.index import index_subsets


def real_labels(name: str) -> Path:
    folder = os.environ.get("TREEOFLIFE_REAL_DATA")
    if not folder or not (labels := Path(folder) / "labels" / name).exists():
        pytest.skip(f"left out: TREEOFLIFE_REAL_DATA names no folder with labels/{name}")
    return labels


def rows_of(name: str) -> list[Labelled]:
    given = LabelledFolder(labels=str(real_labels(f"{name}.csv")), images="images")
    return list(read_labels(given, ("taxon_com", "sci_com") if name == "rare_species" else ("asis",)))


def names_of(rows: list[Labelled], text_type: str) -> list[str]:
    return [
        class_name(
            {"position": row.position, "class": row.label, "common_name": row.common_name}
            | {f"taxon_{rank}": name for rank, name in row.ranks.items()},
            text_type,
        )
        for row in rows
    ]


@pytest.mark.parametrize(
    ("name", "rows", "text_type", "classes", "first_prompt"),
    [
        (
            "rare_species",
            11_983,
            "taxon_com",
            400,
            "a photo of Animalia Mollusca Bivalvia Unionida Unionidae Cyclonaias tuberculata with common name purple "
            "wartyback.",
        ),
        (
            "rare_species",
            11_983,
            "sci_com",
            400,
            "a photo of Cyclonaias tuberculata with common name purple wartyback.",
        ),
        ("insects2", None, "asis", 102, "a photo of Lycorma delicatula."),
        ("fungi", None, "asis", 25, "a photo of Amanita excelsa Gonn. & Rabenh.."),
    ],
)
def test_real_labels_give_the_papers_classes_and_prompts(
    name: str, rows: int | None, text_type: str, classes: int, first_prompt: str
) -> None:
    read = rows_of(name)
    if rows is not None:
        assert len(read) == rows
    assert [row.position for row in read] == list(range(len(read)))
    found = Classes.in_order(names_of(read, text_type))
    assert len(found.names) == classes == len({row.label for row in read})
    assert TEMPLATES[0](found.names[0]) == first_prompt


def test_rare_species_has_thirty_images_of_all_classes_but_five() -> None:
    counts: dict[str, int] = {}
    for row in rows_of("rare_species"):
        counts[row.label] = counts.get(row.label, 0) + 1
    assert sorted(counts.values()) == [21, 27, 27, 29, 29, *[30] * 395]


def filepaths(labels: Path) -> list[str]:
    with labels.open(encoding="utf-8", newline="") as file:
        return [row["filepath"] for row in csv.DictReader(file)]


# Rows and classes of each, as given on IDLE-OO's dataset card.
TRAPS = {
    "desert-lion": (352, 32),
    "ENA24": (1120, 20),
    "island": (310, 33),
    "orinoquia": (336, 28),
    "ohio-small-animals": (468, 39),
}


def test_the_five_camera_traps_are_indexed_as_they_were_published(tmp_path: Path) -> None:
    """Without a class column: a class is a text, and the island's 150 images known above the species only have one."""
    photo = simplejpeg.encode_jpeg(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    (tmp_path / "photo.jpg").write_bytes(photo)
    subsets = {}
    for name in TRAPS:
        labels = real_labels(f"camera_trap/{name}-balanced.csv")
        for image in filepaths(labels):
            place = tmp_path / "data/test" / image
            place.parent.mkdir(parents=True, exist_ok=True)
            place.hardlink_to(tmp_path / "photo.jpg")
        subsets[name] = {"labels": str(labels), "images": str(tmp_path / "data/test" / name), "find": "name"}
    settings = SubsetsBenchmark.model_validate({"layout": "subsets", "text_type": "taxon_com", "subsets": subsets})
    out, account = tmp_path / "images.parquet", tmp_path / "account.json"
    index_subsets(name="camera_trap", settings=settings, out=out, account=account)
    assert (read_account(account).dropped, read_account(account).warnings) == ({}, [])
    read = tables.read_rows(out, BENCHMARK_IMAGES).to_pylist()
    found = {name: [row for row in read if row["image"].startswith(f"{name}/")] for name in TRAPS}
    assert {name: (len(rows), len({row["class"] for row in rows})) for name, rows in found.items()} == TRAPS
    for rows in found.values():
        assert [row["class"] for row in rows] == [class_name(row, "taxon_com") for row in rows]
    assert sorted(Counter(row["class"] for row in found["island"]).values())[:3] == [1, 1, 9]
    above = Counter(row["class"] for row in found["island"] if row["taxon_species"] is None)
    assert (len(above), above.total()) == (16, 150)
    assert "Animalia Chordata Aves Columbiformes Columbidae with common name pigeon" in above


def test_flat_archives_of_meta_album_hold_all_images_that_the_published_labels_name(tmp_path: Path) -> None:
    names = ["PLK_Mini", "INS_Mini", "insects2", "PLT_NET_Mini", "fungi", "PLT_VIL_Mini", "MED_LF_Mini", "PLT_DOC_Mini"]
    total = 0
    for name in names:
        labels = real_labels(f"{name}.csv")
        images = tmp_path / name / "images"
        images.mkdir(parents=True)
        for image in filepaths(labels):
            (images / image.rpartition("/")[2]).touch()
        rows = list(read_labels(LabelledFolder(labels=str(labels), images=str(images.parent), find="name")))
        assert all(row.path.is_file() for row in rows)
        # Each class has forty images, and no image is another class's.
        assert set(Counter(row.label for row in rows).values()) == {40}
        assert len({row.path for row in rows}) == len(rows)
        total += len(rows)
    assert total == 17_280


def test_the_published_split_of_herbarium19_is_read_from_its_pickle() -> None:
    lists = read_pickled_lists(real_labels("herbarium_19_class_splits.pkl").read_bytes())
    assert {name: len(numbers) for name, numbers in lists.items()} == {"Old": 341, "New": 342}
    assert sorted(lists["Old"] + lists["New"]) == list(range(683))
    # By hand: the file's first number is the eight bytes `q` and zeros, 113; then `z\\1` and zeros, 378.
    assert lists["Old"][:2] == [0x71, 0x017A]
