"""Label files as people, spreadsheets and data sets other than the papers' write them give the classes they mean."""

import json
import logging
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.evaluate.scoring import score_layout
from tests.evaluate.test_evaluate_index import photo
from workflow_scripts.common import accounts, tables
from workflow_scripts.common.accounts import Account, read_account
from workflow_scripts.common.config.evaluate import (
    BenchmarkSettings,
    CsvBenchmark,
    EmbedLimits,
    FoldersBenchmark,
    LabelledFolder,
)
from workflow_scripts.common.errors import InputError
from workflow_scripts.contracts import BENCHMARK_IMAGES, PREDICTIONS
from workflow_scripts.evaluate.binomials import genus_and_epithet
from workflow_scripts.evaluate.csv.index import index_csv, read_labels
from workflow_scripts.evaluate.embed import embed
from workflow_scripts.evaluate.folders.index import index_folders

Rows = list[dict[str, Any]]
Read = Callable[..., tuple[Rows, Account]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Write a label file and its images, and read both."""

    def write_and_read(
        labels: str | bytes, images: Sequence[str] = ("a.jpg", "b.jpg", "c.jpg"), **settings: str
    ) -> tuple[Rows, Account]:
        folder = tmp_path / "images"
        for number, name in enumerate(images):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(photo(number))
        file = tmp_path / "labels.csv"
        file.write_bytes(labels if isinstance(labels, bytes) else labels.encode())
        given = {"layout": "csv", "labels": str(file), "images": str(folder)} | settings
        out, account = tmp_path / "images.parquet", tmp_path / "account.json"
        index_csv(name="mine", settings=CsvBenchmark.model_validate(given), out=out, account=account)
        return tables.read_rows(out, BENCHMARK_IMAGES).to_pylist(), read_account(account)

    return write_and_read


@pytest.fixture
def read_folders(tmp_path: Path) -> Read:
    """Write images and read their folders."""

    (tmp_path / "images").mkdir()

    def write_and_read(*images: str) -> tuple[Rows, Account]:
        for number, name in enumerate(images):
            (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "images" / name).write_bytes(photo(number))
        settings = FoldersBenchmark(layout="folders", images=str(tmp_path / "images"))
        out, account = tmp_path / "images.parquet", tmp_path / "account.json"
        index_folders(name="mine", settings=settings, out=out, account=account)
        return tables.read_rows(out, BENCHMARK_IMAGES).to_pylist(), read_account(account)

    return write_and_read


SEMICOLONS = "filepath;class\na.jpg;Käfer, groß\nb.jpg;Bär\n".encode("windows-1252")


def classes(rows: Rows) -> dict[str, str]:
    return {row["image"]: row["class"] for row in rows}


@pytest.mark.parametrize(
    "labels",
    [
        SEMICOLONS,
        "filepath\tclass\r\na.jpg\tKäfer, groß\r\nb.jpg\tBär\r\n".encode("utf-16"),
        '\ufeffsep=;\r\nfilepath;class\r\na.jpg;"Käfer, groß"\r\nb.jpg;Bär\r\n',
        'Our photos of 2024,\n,\nfilepath,class\na.jpg,"Käfer, groß"\nb.jpg,Bär\n',
        'FILE_NAME,CATEGORY,SUPER_CATEGORY\na.jpg,"Käfer, groß",x\nb.jpg,Bär,x\n',
        'image,label,class_name\na.jpg,7,"Käfer, groß"\nb.jpg,3,Bär\n',
        'Image_Path,Label,\n a.jpg ,"Käfer,  groß ",\n,,\n\nb.jpg,\tBär,\n',
        unicodedata.normalize("NFD", 'filepath,class\na.jpg,"Käfer, groß"\nb.jpg,Bär\n'),
        'class id,filepaths,labels,data set\n0,a.jpg,"Käfer, groß",train\n0,b.jpg,Bär,valid\n',
        'image_id,label\na,"Käfer, groß"\nb,Bär\n',
    ],
    ids=[
        *("semicolons", "utf-16", "sep", "titles", "meta-album", "numbers_and_names", "blanks", "decomposed", "kaggle"),
        "no_suffix",
    ],
)
def test_a_table_in_another_form_has_the_same_classes(read: Read, labels: str | bytes) -> None:
    rows, account = read(labels)
    found = {Path(row["path"]).name: unicodedata.normalize("NFC", " ".join(row["class"].split())) for row in rows}
    assert found == {"a.jpg": "Käfer, groß", "b.jpg": "Bär"}
    guessed = [f"1 {accounts.GUESSED_ENCODING}"] if labels == SEMICOLONS else []
    assert (account.rows_in, account.kept, account.warnings) == (2, 2, guessed)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ("filepath,label,class_name\na.jpg,7,oak\n", ("oak", None)),
        ("filepath,class,label\na.jpg,3,oak\n", ("oak", None)),
        ("filepath,class,label\na.jpg,3,\n", ("3", None)),
        ("filepath,class,taxon_name\na.jpg,oak,Quercus robur\n", ("oak", "Quercus")),
    ],
)
def test_a_column_of_labels_is_no_name_and_an_empty_one_no_label(
    read: Read, labels: str, expected: tuple[str, str | None]
) -> None:
    (row,) = read(labels)[0]
    assert (row["class"], row["taxon_genus"]) == expected


def test_a_number_is_no_name(read: Read) -> None:
    (row,) = read("filepath,label,class_name\na.jpg,7,Quercus robur\n", text_type="sci")[0]
    assert (row["class"], row["taxon_genus"]) == ("Quercus robur", "Quercus")


@pytest.mark.parametrize("columns", ["filepath,class", "filepath,class,kingdom,family"])
def test_a_table_without_rows_lists_no_images(read: Read, columns: str) -> None:
    with pytest.raises(InputError, match="list no images"):
        read(f"{columns}\n")


def test_a_class_is_used_as_first_written(read: Read) -> None:
    decomposed = unicodedata.normalize("NFD", "Bär")
    rows, account = read(f"filepath,class\na.jpg,{decomposed}  x\nb.jpg,Bär x \n")
    assert [row["class"] for row in rows] == [f"{decomposed}  x"] * 2
    assert account.notes["classes"] == 1


RANKS = "kingdom,phylum,class,order,family,genus,species"
LION = "Animalia,Chordata,Mammalia,Carnivora,Felidae,Panthera"


def test_class_beside_other_ranks_is_the_rank_and_joins_no_species(read: Read) -> None:
    labels = f"filepath,{RANKS},common_name\na.jpg,{LION},Panthera leo,lion\nb.jpg,{LION},tigris,NaN\n"
    rows, _ = read(labels + "c.jpg,Animalia,Chordata,Aves,,NA,nan,,bird\n", text_type="taxon_com")
    assert classes(rows) == {
        "a.jpg": "Animalia Chordata Mammalia Carnivora Felidae Panthera leo with common name lion",
        "b.jpg": "Animalia Chordata Mammalia Carnivora Felidae Panthera tigris",
        "c.jpg": "Animalia Chordata Aves with common name bird",
    }
    assert [row["taxon_class"] for row in rows] == ["Mammalia", "Mammalia", "Aves"]
    # `asis` is the default, and nobody means the rank by it.
    with pytest.raises(InputError, match=r"labels\.csv: column class is the rank.*text_type: taxon_com.*`label`"):
        read(labels)
    assert classes(read(f"filepath,{RANKS},label\na.jpg,{LION},leo,a lion\n")[0]) == {"a.jpg": "a lion"}


@pytest.mark.parametrize("unknown", ["NA", "unknown", ""])
def test_a_row_of_unknown_names_makes_the_rank_no_label(read: Read, unknown: str) -> None:
    rest = f"c.jpg,Animalia,Chordata{f',{unknown}' * 4},lupus\n"
    rows, _ = read(f"filepath,{RANKS}\na.jpg,{LION},leo\nb.jpg,{LION},tigris\n{rest}", text_type="taxon")
    assert [row["taxon_class"] for row in rows] == ["Mammalia", "Mammalia", unknown if unknown == "unknown" else None]


def test_class_that_repeats_a_scientific_name_is_the_label(read: Read) -> None:
    lines = "a.jpg,Pica pica,Animalia,Corvidae,Pica pica\nb.jpg,Felis catus,Animalia,Felidae,Felis catus\n"
    rows, _ = read(f"filepath,class,kingdom,family,scientific_name\n{lines}")
    assert [row["class"] for row in rows] == ["Pica pica", "Felis catus"]


def test_parquet_columns_of_any_type_are_compared(tmp_path: Path) -> None:
    days = pa.array([0, 1], pa.date32())
    columns = {"filepath": ["a", "b"], "class": [1, 2], "label": days, "family": [3, 3], "genus": [5, 6]}
    pq.write_table(pa.table(columns), tmp_path / "labels.parquet")
    found = read_labels(LabelledFolder(labels=str(tmp_path / "labels.parquet"), images=str(tmp_path)))
    assert [row.label for row in found] == ["1970-01-01", "1970-01-02"]


@pytest.mark.parametrize("label", ["Panthera_leo", "lion", "leo"])
def test_class_beside_other_ranks_is_the_label_if_it_names_the_species(read: Read, label: str) -> None:
    rows, _ = read(f"filepath,{RANKS},common_name\na.jpg,{LION.replace('Mammalia', label)},leo,Lion\n", text_type="sci")
    assert [(row["class"], row["taxon_class"]) for row in rows] == [(label, None)]


def test_class_beside_other_ranks_is_the_label_if_it_is_finer_than_they_are(read: Read) -> None:
    lines = [f"{letter}.jpg,{LION.replace('Mammalia', cat)},x\n" for letter, cat in (("a", "king"), ("b", "queen"))]
    rows, _ = read(f"filepath,{RANKS}\n{''.join(lines)}", text_type="sci")
    assert [(row["class"], row["taxon_class"]) for row in rows] == [("king", None), ("queen", None)]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ("filename,species\na.jpg,Panthera leo\nb.jpg,Panthera leo persica\n", ["leo", "leo persica"]),
        ("path,genus,species,subspecies\na.jpg,Panthera,leo,\nb.jpg,Panthera,leo,persica\n", ["leo", "leo persica"]),
        ('file_path,scientificName\na.jpg,"Panthera leo (Linnaeus, 1758)"\nb.jpg,Panthera\n', ["leo", None]),
    ],
)
def test_names_in_one_column_are_genus_and_epithet(read: Read, labels: str, expected: list[str | None]) -> None:
    rows, _ = read(labels, text_type="sci")
    assert [(row["taxon_genus"], row["taxon_species"]) for row in rows] == [("Panthera", one) for one in expected]
    assert [row["class"] for row in rows] == [" ".join(filter(None, ("Panthera", one))) for one in expected]


@pytest.mark.parametrize(
    ("genus", "species", "expected"),
    [
        ("Panthera", "leo", ("Panthera", "leo")),
        ("panthera", "Panthera leo", ("panthera", "leo")),
        ("Panthera", "P. leo", ("Panthera", "leo")),
        ("Canis", "lupus familiaris", ("Canis", "lupus familiaris")),
        ("", "Quercus alba L.", ("Quercus", "alba")),
        ("Felis", "", ("Felis", "")),
    ],
)
def test_genus_and_epithet(genus: str, species: str, expected: tuple[str, str]) -> None:
    assert genus_and_epithet(genus, species) == expected


def test_an_image_is_found_by_a_path_from_another_system(read: Read) -> None:
    kafer = unicodedata.normalize("NFD", "Käfer.jpg")
    rows, account = read("filepath,class\nsub\\a.jpg,x\nb.JPG,x\nKäfer.jpg,x\nc.jpg,x\n", ["sub/a.jpg", "b.jpg", kafer])
    assert [Path(row["path"]).name for row in rows] == ["a.jpg", "b.jpg", kafer]
    assert account.dropped == {"missing": 1}
    # Two files that differ in case are two images.
    rows, account = read("filepath,class\nB.JPG,x\nb.jpg,y\n", ["B.jpg", "b.jpg"])
    assert ([Path(row["path"]).name for row in rows], account.dropped) == (["b.jpg"], {"missing": 1})


def test_what_a_person_should_check_is_counted_and_named(read: Read, caplog: pytest.LogCaptureFixture) -> None:
    labels = "filepath,class\na.jpg,Pica pica\nb.jpg,Pica Pica\nc.jpg,7\nc.jpg,7\nc.jpg,8\ngone.jpg,Corvus corax\n"
    with caplog.at_level(logging.WARNING):
        _, account = read(labels)
    assert {note: account.notes[note] for note in accounts.WARNINGS if note in account.notes} == {
        accounts.LOST_CLASSES: 1,
        accounts.SEVERAL_CLASSES: 1,
        accounts.REPEATED_IMAGES: 2,
        accounts.ALIKE_CLASSES: 2,
        accounts.NUMBERED_CLASSES: 2,
    }
    assert account.warnings[0] == f"1 {accounts.LOST_CLASSES}"
    for named in ("Corvus corax", "Pica Pica", "7, 8", "c.jpg"):
        assert named in caplog.text


def test_classes_that_one_prompt_joins_are_counted(read: Read, caplog: pytest.LogCaptureFixture) -> None:
    labels = "filepath,class,genus,species\na.jpg,male,Pica,pica\nb.jpg,female,Pica,pica\nc.jpg,crow,Corvus,corax\n"
    with caplog.at_level(logging.WARNING):
        _, account = read(labels, text_type="sci")
    assert account.warnings == [f"1 {accounts.SHARED_NAMES}"]
    assert "Pica pica (female, male)" in caplog.text


def test_a_parquet_file_of_labels_may_contain_the_images(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(photo(1))
    image = {"bytes": b"\xff\xd8", "path": "a.jpg"}
    table = pa.table({"image": [image], "raw": [b"\xff"], "file_name": ["a.jpg"], "label": pa.array([3], pa.int64())})
    pq.write_table(table.append_column("category", [["Pica pica"]]), tmp_path / "labels.parquet")
    (row,) = read_labels(LabelledFolder(labels=str(tmp_path / "labels.parquet"), images=str(tmp_path)))
    assert (row.label, row.path) == ("Pica pica", tmp_path / "a.jpg")


def test_a_word_that_pandas_reads_as_empty_is_no_class(read: Read) -> None:
    with pytest.raises(InputError, match=r"labels\.csv: row 3: class is empty: 'None'"):
        read("filepath,class\na.jpg,x\nb.jpg,None\n")


def test_images_in_none_of_the_places_named_say_how_to_find_them(read: Read) -> None:
    labels = "filepath,class\nimages/a.jpg,x\n"
    with pytest.raises(InputError, match=r"images/images/a\.jpg.*benchmarks\.mine\.find: name"):
        read(labels)
    assert classes(read(labels, find="name")[0]) == {"images/a.jpg": "x"}


def test_nested_folders_name_the_species_that_they_are_about(read_folders: Read) -> None:
    rows, account = read_folders(
        "Pica/hudsonia/1.jpg",
        "Pica/pica/1.jpg",
        "site 1/Corvus_corax/1.jpg",
        "site 2/Corvus corax/1.jpg",
        "test/003-Larus_argentatus/bird 12/1.jpg",
        "test/Panthera leo persica/left side/1.jpg",
    )
    assert classes(rows) == {
        "Pica/hudsonia/1.jpg": "Pica hudsonia",
        "Pica/pica/1.jpg": "Pica pica",
        "site 1/Corvus_corax/1.jpg": "Corvus corax",
        "site 2/Corvus corax/1.jpg": "Corvus corax",
        "test/003-Larus_argentatus/bird 12/1.jpg": "Larus argentatus",
        "test/Panthera leo persica/left side/1.jpg": "Panthera leo persica",
    }
    assert [row["taxon_species"] for row in rows][-2:] == ["argentatus", "leo persica"]
    assert account.warnings == []


def test_a_folder_in_several_others_is_named_as_a_doubtful_class(
    read_folders: Read, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        _, account = read_folders("robin/male/1.jpg", "crow/male/1.jpg", "crow/female/1.jpg", "train/owl/1.jpg")
    assert account.notes[accounts.NESTED_CLASSES] == 1
    assert f"{accounts.NESTED_CLASSES}: male" in caplog.text


def test_folders_that_a_class_joins_are_named(read_folders: Read, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        _, account = read_folders("Field sites/cat/1.jpg", "Field sites/dog/1.jpg", "Pica pica/male/1.jpg")
    assert account.warnings == [f"1 {accounts.JOINED_FOLDERS}"]
    assert f"{accounts.JOINED_FOLDERS}: Field sites (cat, dog)" in caplog.text


def test_a_folder_of_photos_is_no_species(read_folders: Read) -> None:
    rows, _ = read_folders("Field photos/cat/1.jpg", "Field photos/dog/1.jpg")
    assert [row["class"] for row in rows] == ["cat", "dog"]


def test_numbers_of_folders_are_dropped_and_numbers_of_names_are_kept(read_folders: Read) -> None:
    folders = [
        "001.Pica pica",
        "12-Larus canus",
        "04-stoat",
        "2-spotted ladybird",
        "7-spotted ladybird",
        "3_owls",
        "42",
    ]
    rows, _ = read_folders(*(f"{folder}/1.jpg" for folder in folders))
    found = [row["class"] for row in sorted(rows, key=lambda row: folders.index(row["image"].split("/")[0]))]
    assert found == ["Pica pica", "Larus canus", "stoat", "2-spotted ladybird", "7-spotted ladybird", "owls", "42"]


def test_folders_that_are_no_classes_are_answered_with_what_to_do(read_folders: Read) -> None:
    for stray in ((), ("a.jpg", "images/b.jpg")):
        with pytest.raises(InputError, match=r"benchmark mine: .*benchmarks\.mine\.images"):
            read_folders(*stray)
    _, account = read_folders("our birds/a.jpg", "our birds/b.jpg")
    assert account.warnings == [f"1 {accounts.ONLY_CLASS}"]


def test_a_folder_copied_from_macos_is_the_class_that_it_names(read_folders: Read) -> None:
    rows, _ = read_folders(*(f"{unicodedata.normalize(form, 'Bär')}/{form}.jpg" for form in ("NFC", "NFD")))
    assert [row["class"] for row in rows] == ["Bär", "Bär"]


@pytest.mark.parametrize("text_type", ["sci", "asis"])
def test_a_museums_table_of_photos_is_scored(
    text_type: str, read: Read, models: dict[str, str], tmp_path: Path
) -> None:
    """From a semicolon-separated table with complete names, as spreadsheets write it, to the scores."""
    species = ["Cirsium eriophorum (L.) Scop.", "Acanthus spinosus L.", "Amanita muscaria"]
    images = [f"{number}.jpg" for number in range(9)]
    rows = [f"{number}.JPG;{species[number % 3]};Photo {number};{species[number % 3][:4]}" for number in range(9)]
    read("\r\n".join(["image_name;species;title;label", *rows]).encode("windows-1252"), images, text_type=text_type)
    embed(
        work=tmp_path / "work",
        model=models["start"],
        images=tmp_path / "images.parquet",
        out=tmp_path / "features.safetensors",
        limits=EmbedLimits(batch=9, workers=0),
    )
    score_layout(
        benchmark="mine",
        settings=BenchmarkSettings.model_validate(
            {"layout": "csv", "labels": "x", "images": "y", "text_type": text_type, "shots": [2]}
        ),
        images=tmp_path / "images.parquet",
        models={"start": models["start"]},
        features={"start": tmp_path / "features.safetensors"},
        out_dir=tmp_path,
    )
    found = json.loads((tmp_path / "start/mine.json").read_text())
    assert (found["n_images"], found["n_classes"], found["left_out"]) == (9, 3, {})
    assert {"zero_shot/top1", "few_shot/2", "hierarchy/genus"} <= found["metrics"].keys()
    predicted = tables.read_rows(tmp_path / "start/mine.predictions.parquet", PREDICTIONS).to_pylist()
    first = {"sci": "Cirsium eriophorum", "asis": "Cirs"}[text_type]
    assert [row["class"] for row in predicted[::3]] == [first] * 3
