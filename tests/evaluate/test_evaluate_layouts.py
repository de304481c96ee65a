"""Each layout is read as published, including its quirks; missing images are counted, named and shift no position."""

import csv
import json
import os
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
import pytest
import simplejpeg

from workflow_scripts.common import tables
from workflow_scripts.common.accounts import Account, read_account
from workflow_scripts.common.code_digest import ROOT, code_of
from workflow_scripts.common.config.evaluate import Benchmark, BenchmarkSettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.contracts import BENCHMARK_IMAGES
from workflow_scripts.evaluate.awa2.index import index_awa2
from workflow_scripts.evaluate.fishnet.index import TRAITS, index_fishnet
from workflow_scripts.evaluate.folders.index import index_folders
from workflow_scripts.evaluate.herbarium19.index import index_herbarium19
from workflow_scripts.evaluate.herbarium19.pickled import read_pickled_lists
from workflow_scripts.evaluate.newt.index import index_newt
from workflow_scripts.evaluate.plantdoc.index import index_plantdoc
from workflow_scripts.evaluate.subsets.index import index_subsets

LAYOUTS = sorted(path.parent.name for path in (ROOT / "workflow_scripts/evaluate").glob("*/index.py"))
COARSE = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)
PHOTO = simplejpeg.encode_jpeg(cv2.resize(COARSE, (96, 96), interpolation=cv2.INTER_CUBIC))
FISH = ["", "x", "y", "images/1.jpg", *"abcdefgh", "Gobiidae", "z"]


def put(path: Path, data: bytes = PHOTO) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def write_csv(path: Path, rows: Sequence[Sequence[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def read(reader: Callable[..., None], settings: dict[str, Any], folder: Path) -> tuple[list[dict[str, Any]], Account]:
    """The table that a reader writes, and its account."""
    before = sorted(folder.rglob("*"))
    out = folder.with_name("out") / "images.parquet"
    spec = BenchmarkSettings.model_validate(settings).spec
    reader(name="mine", settings=spec, out=out, account=out.with_name("account.json"))
    assert sorted(folder.rglob("*")) == before
    rows = tables.read_rows(out, BENCHMARK_IMAGES).to_pylist()
    return rows, read_account(out.with_name("account.json"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "benchmark"
    made.mkdir()
    return made


def test_a_layout_is_a_folder_whose_index_knows_nothing_of_its_score() -> None:
    kinds = get_args(get_args(Benchmark)[0])
    assert sorted(get_args(kind.model_fields["layout"].annotation)[0] for kind in kinds) == LAYOUTS
    for layout in LAYOUTS:
        package = f"workflow_scripts.evaluate.{layout}"
        assert (ROOT / package.replace(".", "/") / "__init__.py").read_bytes() == b""
        of_scores = {f"{package}.score", *(f"workflow_scripts.evaluate.{name}" for name in ("scoring", "measures"))}
        assert not of_scores & set(code_of(f"{package}.index"))
        assert of_scores <= set(code_of(f"{package}.score"))


def test_a_folder_for_each_class_is_a_benchmark(folder: Path) -> None:
    put(folder / "birds/001.Pica_hudsonia/b.JPG")
    put(folder / "birds/001.Pica_hudsonia/a.png")
    put(folder / "Corvus Corax/1.jpg")
    put(folder / "unnamed beetles from june/1.jpg")
    put(folder / "Corvus Corax/notes.txt")
    put(folder / ".cache/x.jpg")
    put(folder / "stray.jpg")
    put(folder / "Corvus Corax" / os.fsdecode(b"caf\xe9.jpg"))
    rows, account = read(index_folders, {"layout": "folders", "images": str(folder)}, folder)
    found = [(row["image"], row["class"], row["taxon_genus"], row["taxon_species"]) for row in rows]
    assert found == [
        ("Corvus Corax/1.jpg", "Corvus Corax", "Corvus", "corax"),
        ("birds/001.Pica_hudsonia/a.png", "Pica hudsonia", "Pica", "hudsonia"),
        ("birds/001.Pica_hudsonia/b.JPG", "Pica hudsonia", "Pica", "hudsonia"),
        ("unnamed beetles from june/1.jpg", "unnamed beetles from june", None, None),
    ]
    assert account.dropped == {"in_no_folder": 1, "name_not_utf8": 1, "not_named_as_an_image": 1}
    with pytest.raises(InputError, match="no such folder"):
        read(index_folders, {"layout": "folders", "images": str(folder / "absent")}, folder)


def test_newt_names_its_missing_image_and_keeps_the_others_places(folder: Path) -> None:
    header = ["id", "task", "task_cluster", "task_subcluster", "label", "split"]
    labels = [["a1", "owls", "appearance", "species", "0", "train"], ["gone", "owls", "appearance", "", "1", "train"]]
    labels += [["a3", "nests", "context", "", "1", "test"]]
    write_csv(folder / "newt2021_labels.csv", [header, *labels])
    for name in ("a1", "a3"):
        put(folder / "newt2021_images" / f"{name}.jpg")
    rows, account = read(index_newt, {"layout": "newt", "folder": str(folder)}, folder)
    columns = ("position", "image", "task", "task_subcluster", "class", "split")
    assert [tuple(row[column] for column in columns) for row in rows] == [
        (0, "a1.jpg", "owls", "species", "0", "train"),
        (2, "a3.jpg", "nests", "none", "1", "test"),
    ]
    assert account.dropped == {"missing": 1}
    assert account.notes["missing gone.jpg, row"] == 1


def test_newt_takes_no_image_from_outside_its_folder(folder: Path) -> None:
    header = ["id", "task", "task_cluster", "task_subcluster", "label", "split"]
    write_csv(folder / "newt2021_labels.csv", [header, ["../a", "owls", "", "", "0", "train"]])
    with pytest.raises(InputError, match=r"row 2: '\.\./a' .*name"):
        read(index_newt, {"layout": "newt", "folder": str(folder)}, folder)


def fish(image: str, *traits: str) -> list[str]:
    return [*FISH[:3], image, *FISH[4:], *traits]


def write_fish(folder: Path, train: list[list[str]], test: list[list[str]]) -> None:
    header = [f"c{number}" for number in range(14)] + list(TRAITS)
    for split, rows in (("train", train), ("test", test)):
        write_csv(folder / f"{split}.csv", [header, *rows])
        for row in rows:
            put(folder / "Image_Library" / row[12] / row[3].rsplit("/", 1)[-1])


def test_fishnet_reads_traits_and_drops_rows_with_an_empty_one_from_both_splits(folder: Path) -> None:
    known = ["pelagic", "1", "0", "0", "0", "1", "0.0", "1.0", "0"]
    train = [fish("some/where/1.jpg", *known), fish("2.jpg", *known[:-1], "")]
    write_fish(folder, train, [fish("3.jpg", "", *known[1:]), fish("4.jpg", "benthic", *known[1:])])
    rows, account = read(index_fishnet, {"layout": "fishnet", "folder": str(folder)}, folder)
    assert [(row["position"], row["image"], row["targets"], row["split"]) for row in rows] == [
        (0, "Gobiidae/1.jpg", "110001010", "train"),
        (3, "Gobiidae/4.jpg", "010001010", "test"),
    ]
    assert (account.rows_in, account.kept, account.dropped) == (4, 2, {"trait_empty": 2})


def test_fishnet_finds_image_and_folder_by_name_where_index_columns_are_gone(folder: Path) -> None:
    traits = ["pelagic", *"10000010"]
    put(folder / "Image_Library/Gobiidae/1.jpg")
    for split in ("train", "test"):
        write_csv(
            folder / f"{split}.csv", [["image", "Family", "Folder", *TRAITS], ["1.jpg", "x", "Gobiidae", *traits]]
        )
    rows, _ = read(index_fishnet, {"layout": "fishnet", "folder": str(folder)}, folder)
    assert [(row["image"], row["targets"]) for row in rows] == [("Gobiidae/1.jpg", "110000010")] * 2
    write_csv(folder / "test.csv", [["picture", *TRAITS], ["1.jpg", *traits]])
    with pytest.raises(InputError, match=r"test\.csv: row 2: .*column image, or 4 columns|column Folder, or 13"):
        read(index_fishnet, {"layout": "fishnet", "folder": str(folder)}, folder)


def test_fishnet_names_an_unknown_feeding_path(folder: Path) -> None:
    write_fish(folder, [fish("1.jpg", "airborne", *"00000000")], [])
    with pytest.raises(InputError, match=r"train\.csv: row 2: FeedingPath: .*pelagic.*benthic.*'airborne'"):
        read(index_fishnet, {"layout": "fishnet", "folder": str(folder)}, folder)


def write_animals(folder: Path, classes: str = "     1\tantelope\n     2\tgrizzly+bear\n") -> None:
    """As in the published files: only one list is numbered, and some bits are separated by two spaces."""
    (folder / "classes.txt").write_text(classes)
    (folder / "trainclasses.txt").write_text("grizzly+bear\n")
    (folder / "testclasses.txt").write_text("antelope\n")
    rows = [["0"] * 84 + ["1"], ["1"] * 85]
    (folder / "predicate-matrix-binary.txt").write_text("".join("  ".join(row) + " \n" for row in rows))
    for name in ("antelope", "grizzly+bear"):
        put(folder / "JPEGImages" / name / f"{name}_10001.jpg")


@pytest.mark.parametrize("classes", ["     1\tantelope\n     2\tgrizzly+bear\n", "antelope\ngrizzly+bear\n"])
def test_awa2_gives_each_class_its_row_of_the_matrix_numbered_or_not(folder: Path, classes: str) -> None:
    write_animals(folder, classes)
    put(folder / "JPEGImages" / "antelope" / "antelope_10002.jpg", b"cut")
    put(folder / "JPEGImages" / "antelope" / "Thumbs.db", b"")
    rows, account = read(index_awa2, {"layout": "awa2", "folder": str(folder)}, folder)
    assert [(row["class"], row["split"], row["targets"]) for row in rows] == [
        ("grizzly+bear", "train", "1" * 85),
        ("antelope", "test", "0" * 84 + "1"),
    ]
    assert account.dropped == {"not_named_as_an_image": 1, "unreadable": 1}


def test_awa2_refuses_a_matrix_that_does_not_fit(folder: Path) -> None:
    write_animals(folder, "1\tantelope\n")
    with pytest.raises(InputError, match=r"predicate-matrix-binary\.txt: .*\b2 rows.*\b1 class"):
        read(index_awa2, {"layout": "awa2", "folder": str(folder)}, folder)


@pytest.mark.parametrize("split", [{"Old": [1], "New": [0]}, {"Old": ["Carex b. & c."], "New": ["Carex a."]}])
@pytest.mark.parametrize("write", [lambda split: json.dumps(split).encode(), pickle.dumps], ids=["json", "pickle"])
def test_herbarium_takes_numbers_of_sorted_folders_or_their_names(
    folder: Path, split: dict[str, Any], write: Callable[[Any], bytes]
) -> None:
    for name in ("Carex b. & c.", "Carex a.", "neither"):
        put(folder / "small-train" / name / "1.jpg")
    put(folder / "small-validation" / "Carex a." / "2.jpg")
    (folder / "split.json").write_bytes(write(split))
    settings = {"layout": "herbarium19", "folder": str(folder), "classes": str(folder / "split.json")}
    rows, account = read(index_herbarium19, settings, folder)
    assert [(row["class"], row["split"]) for row in rows] == [("Carex a.", "new"), ("Carex b. & c.", "old")]
    assert account.dropped == {"class_neither_old_nor_new": 1}


class Importing:
    """An object that runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch imported",)


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickled_split_of_any_protocol_is_read_and_nothing_in_it_is_run(
    folder: Path, protocol: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    split = {"Old": [np.int64(300), 2**40, "Carex a."], "New": (np.uint8(200), np.dtype(">i4").type(-5))}
    data = pickle.dumps(split, protocol)
    assert read_pickled_lists(data) == {"Old": [300, 2**40, "Carex a."], "New": [200, -5]}
    hostile = {"Old": Importing()}, {"Old": [1.5]}, {"Old": [[1]]}, {"Old": {}}, {1: [1]}, [1], {"Old": np.arange(3)}
    for one in hostile:
        with pytest.raises(ValueError):
            read_pickled_lists(pickle.dumps(one, protocol))
    for end in range(len(data) - 1):
        with pytest.raises(ValueError):
            read_pickled_lists(data[:end])
    assert not (folder / "imported").exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x80\x04\x95", r"split\.json: .*JSON.*pickle"),
        (pickle.dumps({"Old": [0], "New": Importing()}), r"split\.json: .*import.*system"),
        (pickle.dumps({"Old": [0]}), r"split\.json: .*New"),
        (pickle.dumps({"Old": [0], "New": [7]}), r"split\.json: 7 .*\b1 class"),
        (b"[" * 100_000, r"split\.json: .*JSON"),
        (b'{"Old": ' + b"[" * 100_000, r"split\.json: .*JSON"),
    ],
)
def test_another_split_is_refused_by_name(folder: Path, data: bytes, message: str) -> None:
    put(folder / "small-train" / "a" / "1.jpg")
    (folder / "split.json").write_bytes(data)
    settings = {"layout": "herbarium19", "folder": str(folder), "classes": str(folder / "split.json")}
    with pytest.raises(InputError, match=message):
        read(index_herbarium19, settings, folder)


def test_plantdoc_numbers_each_splits_own_folders_and_names_the_one_that_test_lacks(folder: Path) -> None:
    for name in ("Apple leaf", "Tomato mites", "grape leaf"):
        put(folder / "train" / name / "1.jpg")
        if name != "Tomato mites":
            put(folder / "test" / name / "1.jpg")
    # What notebooks and macOS leave behind is no class and no image, and moves no number.
    put(folder / "train" / ".ipynb_checkpoints" / "1.jpg")
    put(folder / "test" / "__MACOSX" / "1.jpg")
    put(folder / "test" / "grape leaf" / "._1.jpg", b"")
    rows, account = read(index_plantdoc, {"layout": "plantdoc", "folder": str(folder)}, folder)
    assert [(row["split"], row["class"], row["class_index"]) for row in rows] == [
        ("train", "Apple leaf", "0"),
        ("train", "Tomato mites", "1"),
        ("train", "grape leaf", "2"),
        ("test", "Apple leaf", "0"),
        ("test", "grape leaf", "1"),
    ]
    assert account.notes["test lacks the folder Tomato mites"] == 1


def test_a_plantdoc_folder_whose_images_are_all_bad_keeps_its_number(folder: Path) -> None:
    for split in ("train", "test"):
        put(folder / split / "a" / "1.jpg", b"cut" if split == "test" else PHOTO)
        put(folder / split / "b" / "1.jpg")
    rows, _ = read(index_plantdoc, {"layout": "plantdoc", "folder": str(folder)}, folder)
    assert [(row["split"], row["class"], row["class_index"]) for row in rows][-1] == ("test", "b", "1")


def test_subsets_follow_each_other_and_are_named(folder: Path) -> None:
    subsets = {}
    for number, name in enumerate(("desert-lion", "ENA24")):
        put(folder / "images" / name / "1.jpg")
        write_csv(folder / f"{name}-balanced.csv", [["", "filepath", "class"], [0, "1.jpg", f"c{number}"]])
        subsets[name] = {"labels": str(folder / f"{name}-balanced.csv"), "images": str(folder / "images" / name)}
    rows, account = read(index_subsets, {"layout": "subsets", "subsets": subsets}, folder)
    # In the order of their names, whatever the config's order is.
    assert [(row["position"], row["image"], row["subset"], row["class"]) for row in rows] == [
        (0, "ENA24/1.jpg", "ENA24", "c1"),
        (1, "desert-lion/1.jpg", "desert-lion", "c0"),
    ]
    assert account.kept == 2


@pytest.mark.parametrize("layout", ["awa2", "herbarium19", "plantdoc"])
def test_the_order_in_which_a_file_system_lists_files_changes_nothing(
    layout: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_animals(folder)
    put(folder / "JPEGImages" / "antelope" / "antelope_10000.jpg")
    for name in ("b", "a", "c"):
        for number in (2, 1):
            for part in ("small-train", "train", "test"):
                put(folder / part / name / f"{number}.jpg")
    (folder / "split.json").write_text(json.dumps({"Old": ["a"], "New": ["b", "c"]}))
    settings = {"layout": layout, "folder": str(folder)}
    settings |= {"classes": str(folder / "split.json")} if layout == "herbarium19" else {}
    reader = {"awa2": index_awa2, "herbarium19": index_herbarium19, "plantdoc": index_plantdoc}[layout]
    one, _ = read(reader, settings, folder)
    listed = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda path: iter(sorted(listed(path), reverse=True)))
    other, _ = read(reader, settings, folder)
    assert one == other
