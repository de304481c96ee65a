"""Miniatures of the benchmarks of both papers, with the layouts, names and defects of the real ones.

As in the originals, there are numbered class lists, index columns, spaces, `&`, dots and brackets in names, a folder
missing from one split, rows without a trait, a missing image and a file that is not an image.
"""

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import PurePosixPath

from workflow_scripts.contracts import RANKS
from workflow_scripts.world.appearance import Look
from workflow_scripts.world.pictures import Picture
from workflow_scripts.world.table import Species

FOLDER = "benchmarks"
CLASSES = 3
# Five shots and a query, plus one, because some sets lack an image.
IMAGES = 7
NO_IMAGE = b"<html><title>404</title></html>"

CLASS_NAMES: Mapping[str, Callable[[Species], str]] = {
    "nabirds": lambda one: f"{one.common_name or one.binomial} (Adult male)",
    "plankton": lambda one: one.binomial.replace(" ", "_").lower(),
    "insects2": lambda one: one.binomial,
    "plantnet": lambda one: f"{one.binomial} L.",
    "fungi": lambda one: f"{one.binomial} Gonn. & Rabenh.",
    "plantvillage": lambda one: f"{one.genus}___{one.epithet}_rust",
    "med_leaf": lambda one: f"{one.binomial} ({one.genus})",
    "plantdoc_meta": lambda one: f"{one.binomial} leaf",
    "birds525": lambda one: one.binomial.upper(),
}
"""Class names of the benchmarks in the papers' common layout (a CSV beside a folder of images)."""
MISSING_IMAGE_SET = "fungi"
BROKEN_IMAGE_SET = "plankton"
CAMERA_TRAPS = ("desert-lion", "ENA24", "island", "orinoquia", "ohio-small-animals")
NEWT_TASKS = ("appearance_species", "context_nest")
# Only the image (fourth column), its folder (thirteenth) and the traits are read.
FISH_COLUMNS = [f"column {number}" for number in range(3)] + ["image"] + [f"column {n}" for n in range(4, 12)]
FISH_COLUMNS += ["Folder", "column 13", "FeedingPath", "Tropical", "Temperate", "Subtropical", "Boreal", "Polar"]
FISH_COLUMNS += ["freshwater", "saltwater", "brackish"]
ATTRIBUTES = 85
LEAVES = ("Tomato two spotted spider mites leaf", "Apple Scab Leaf", "grape leaf")


@dataclass
class Miniatures:
    """Files of the miniatures, by path relative to the world's folder.

    Attributes:
        pictures: images to draw.
        files: contents of all other files.
    """

    pictures: list[Picture] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)


class _Plan:
    """Collects the files of the miniatures; benchmarks take their species in turn from one list."""

    def __init__(self, species: Sequence[Species], look_of: Mapping[Species, Look], side: int) -> None:
        self.made = Miniatures()
        self._next = cycle(species)
        self._look_of = look_of
        self._side = side

    def species(self, count: int) -> list[Species]:
        return list(islice(self._next, count))

    def image(self, path: str, one: Species) -> None:
        self.made.pictures.append(Picture(f"{FOLDER}/{path}", self._look_of[one], self._side))

    def text(self, path: str, text: str) -> None:
        self.made.files[f"{FOLDER}/{path}"] = text.encode()

    def table(self, path: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        lines = io.StringIO()
        csv.writer(lines, lineterminator="\n").writerows([header, *rows])
        self.text(path, lines.getvalue())


def plan_miniatures(species: Sequence[Species], look_of: Mapping[Species, Look], side: int) -> Miniatures:
    """Plan the miniatures of all benchmarks except those that `make` generates itself.

    Args:
        species: species to draw.
        look_of: look of each species.
        side: shorter side of an image, pixels.
    """
    plan = _Plan(species, look_of, side)
    for name, class_name in CLASS_NAMES.items():
        _classified(plan, name, class_name)
    _camera_traps(plan)
    _newt(plan)
    _fishnet(plan)
    _awa2(plan)
    _herbarium19(plan)
    _plantdoc(plan)
    return plan.made


def _classified(plan: _Plan, name: str, class_name: Callable[[Species], str]) -> None:
    """A CSV with an index column, beside folders named after classes (in NABirds, numbers)."""
    rows: list[list[object]] = []
    for number, one in enumerate(plan.species(CLASSES)):
        folder = f"{295 + number:04d}" if name == "nabirds" else class_name(one)
        for image in range(IMAGES):
            path = f"{folder}/{image:03d}.jpg"
            rows.append([len(rows), path, class_name(one)])
            if (number, image) == (1, 2) and name == MISSING_IMAGE_SET:
                continue
            if (number, image) == (1, 2) and name == BROKEN_IMAGE_SET:
                plan.made.files[f"{FOLDER}/{name}/images/{path}"] = NO_IMAGE
                continue
            plan.image(f"{name}/images/{path}", one)
    plan.table(f"{name}/labels.csv", ["", "filepath", "class"], rows)


def _camera_traps(plan: _Plan) -> None:
    """Five CSVs with ranks, with paths below the subset's name, as on the Hugging Face hub."""
    ranks = ["cls" if rank == "class" else rank for rank in RANKS]
    for subset in CAMERA_TRAPS:
        rows: list[list[object]] = []
        for one in plan.species(2):
            for image in range(IMAGES):
                path = f"{subset}/{hashlib.md5(f'{subset} {one.folder} {image}'.encode()).hexdigest()}.jpg"
                rows.append([len(rows), *one.ranks, one.common_name, path, one.binomial])
                plan.image(f"camera_trap/data/test/{path}", one)
        plan.table(f"camera_trap/{subset}-balanced.csv", ["", *ranks, "common_name", "filepath", "class"], rows)


def _newt(plan: _Plan) -> None:
    rows: list[list[object]] = []
    for task in NEWT_TASKS:
        cluster, _, _ = task.partition("_")
        for label, one in enumerate(plan.species(2)):
            for image in range(9):
                name = hashlib.md5(f"{task} {label} {image}".encode()).hexdigest()
                rows.append([name, task, cluster, "", label, "train" if image < 6 else "test"])
                plan.image(f"newt/newt2021_images/{name}.jpg", one)
    plan.table("newt/newt2021_labels.csv", ["id", "task", "task_cluster", "task_subcluster", "label", "split"], rows)


def _fishnet(plan: _Plan) -> None:
    """CSVs of traits; the last row of each split lacks one, so the benchmark excludes it."""
    fish = plan.species(3)
    for split, images in (("train", 4), ("test", 2)):
        rows: list[list[object]] = []
        for number, one in enumerate(fish):
            for image in range(images):
                name = f"{one.epithet}_{split}_{image}.jpg"
                traits: list[object] = ["pelagic" if number else "benthic", *(int(bit) for bit in _bits(one, 8))]
                last = (number, image) == (len(fish) - 1, images - 1)
                rows.append(
                    [
                        *[""] * 3,
                        f"images/{name}",
                        *[""] * 8,
                        f"{one.genus} sp.",
                        "",
                        *traits[:-1],
                        "" if last else traits[-1],
                    ]
                )
                plan.image(f"fishnet/Image_Library/{one.genus} sp./{name}", one)
        plan.table(f"fishnet/{split}.csv", FISH_COLUMNS, rows)


def _awa2(plan: _Plan) -> None:
    animals = plan.species(4)
    names = [f"{one.genus}+{one.epithet}".lower() for one in animals]
    plan.text("awa2/classes.txt", "".join(f"{number:6d}\t{name}\n" for number, name in enumerate(names, 1)))
    plan.text("awa2/trainclasses.txt", "".join(f"{name}\n" for name in names[:-1]))
    plan.text("awa2/testclasses.txt", f"{names[-1]}\n")
    plan.text("awa2/predicate-matrix-binary.txt", "".join("  ".join(_bits(one, ATTRIBUTES)) + " \n" for one in animals))
    for one, name in zip(animals, names, strict=True):
        for image in range(4):
            plan.image(f"awa2/JPEGImages/{name}/{name}_{10001 + image}.jpg", one)


def _herbarium19(plan: _Plan) -> None:
    """Folders named by number, sorted as strings; the split lists classes by their index in this order."""
    folders = ("2", "10", "31", "4")
    for folder, one in zip(folders, plan.species(len(folders)), strict=True):
        for image in range(8):
            plan.image(f"herbarium19/small-train/{folder}/{image}.jpg", one)
        plan.image(f"herbarium19/small-validation/{folder}/0.jpg", one)
    plan.text("herbarium19/classes.json", json.dumps({"Old": [0, 2], "New": [1, 3]}))


def _plantdoc(plan: _Plan) -> None:
    """Folders of leaves; the first is missing from the test split, as in the original."""
    for folder, one in zip(LEAVES, plan.species(len(LEAVES)), strict=True):
        for split in ("train", "test"):
            if split == "train" or folder != LEAVES[0]:
                for image in range(3):
                    plan.image(f"plantdoc/{split}/{folder}/leaf {image} (1).jpg", one)


def _bits(one: Species, count: int) -> Iterator[str]:
    """`count` bits, 0 or 1, from a hash of the species' name."""
    number = int.from_bytes(hashlib.sha256(one.binomial.encode()).digest())
    return (str(number >> place & 1) for place in range(count))


def folders(miniatures: Miniatures) -> set[str]:
    """The benchmarks' folders, relative to the world's folder."""
    paths = [*(picture.path for picture in miniatures.pictures), *miniatures.files]
    return {"/".join(PurePosixPath(path).parts[:2]) for path in paths}
