"""Every benchmark of both papers in miniature: the layout, the names and the troubles of the real one.

What is true to the originals: numbered class lists, index columns, spaces, `&`, dots and brackets in names, a folder
that one split lacks, rows without a trait, an image that is missing and one that is no image.
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
from workflow_scripts.world.looks import Look
from workflow_scripts.world.pictures import Picture
from workflow_scripts.world.table import Species

FOLDER = "benchmarks"
CLASSES = 3
# One more than five shots and a query need, for in some sets one is missing.
IMAGES = 7
NO_IMAGE = b"<html><title>404</title></html>"

NAMED_AS: Mapping[str, Callable[[Species], str]] = {
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
"""The sets of the papers' common layout that take class names as they are, and how theirs look."""
LACKS_AN_IMAGE = "fungi"
HAS_A_BROKEN_ONE = "plankton"
CAMERA_TRAPS = ("desert-lion", "ENA24", "island", "orinoquia", "ohio-small-animals")
NEWT_TASKS = ("appearance_species", "context_nest")
# The image is the fourth column and its folder the thirteenth; the others are never read.
FISH_COLUMNS = [f"column {number}" for number in range(3)] + ["image"] + [f"column {n}" for n in range(4, 12)]
FISH_COLUMNS += ["Folder", "column 13", "FeedingPath", "Tropical", "Temperate", "Subtropical", "Boreal", "Polar"]
FISH_COLUMNS += ["freshwater", "saltwater", "brackish"]
ATTRIBUTES = 85
LEAVES = ("Tomato two spotted spider mites leaf", "Apple Scab Leaf", "grape leaf")


@dataclass
class Miniatures:
    """What the miniatures consist of, by path from the world's folder.

    Attributes:
        pictures: images to draw.
        files: everything else.
    """

    pictures: list[Picture] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)


class _Plan:
    """Adds benchmarks to the miniatures; a set takes its species from a table, from where the last one stopped."""

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
    """Every benchmark but those that the world makes at their full size.

    Args:
        species: whose pictures they show.
        look_of: how each looks.
        side: shorter side of a drawn image, pixels.
    """
    plan = _Plan(species, look_of, side)
    for name, named in NAMED_AS.items():
        _classified(plan, name, named)
    _camera_traps(plan)
    _newt(plan)
    _fishnet(plan)
    _awa2(plan)
    _herbarium19(plan)
    _plantdoc(plan)
    return plan.made


def _classified(plan: _Plan, name: str, named: Callable[[Species], str]) -> None:
    """A CSV with an index column, beside folders named by class (NABirds': by number)."""
    rows: list[list[object]] = []
    for number, one in enumerate(plan.species(CLASSES)):
        folder = f"{295 + number:04d}" if name == "nabirds" else named(one)
        for image in range(IMAGES):
            path = f"{folder}/{image:03d}.jpg"
            rows.append([len(rows), path, named(one)])
            if (number, image) == (1, 2) and name == LACKS_AN_IMAGE:
                continue
            if (number, image) == (1, 2) and name == HAS_A_BROKEN_ONE:
                plan.made.files[f"{FOLDER}/{name}/images/{path}"] = NO_IMAGE
                continue
            plan.image(f"{name}/images/{path}", one)
    plan.table(f"{name}/labels.csv", ["", "filepath", "class"], rows)


def _camera_traps(plan: _Plan) -> None:
    """Five CSVs with ranks, whose paths begin with the subset's name, as the hub has them."""
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
    """The last row of each split lacks a trait, so that it is left out."""
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
    """Folders are numbers, whose order is that of their names; the split names them by their places in it."""
    folders = ("2", "10", "31", "4")
    for folder, one in zip(folders, plan.species(len(folders)), strict=True):
        for image in range(8):
            plan.image(f"herbarium19/small-train/{folder}/{image}.jpg", one)
        plan.image(f"herbarium19/small-validation/{folder}/0.jpg", one)
    plan.text("herbarium19/classes.json", json.dumps({"Old": [0, 2], "New": [1, 3]}))


def _plantdoc(plan: _Plan) -> None:
    """Test lacks the first folder, as the real one does."""
    for folder, one in zip(LEAVES, plan.species(len(LEAVES)), strict=True):
        for split in ("train", "test"):
            if split == "train" or folder != LEAVES[0]:
                for image in range(3):
                    plan.image(f"plantdoc/{split}/{folder}/leaf {image} (1).jpg", one)


def _bits(one: Species, count: int) -> Iterator[str]:
    """Zeros and ones that belong to a species."""
    number = int.from_bytes(hashlib.sha256(one.binomial.encode()).digest())
    return (str(number >> place & 1) for place in range(count))


def folders(miniatures: Miniatures) -> set[str]:
    """The benchmarks' folders, from the world's."""
    paths = [*(picture.path for picture in miniatures.pictures), *miniatures.files]
    return {"/".join(PurePosixPath(path).parts[:2]) for path in paths}
