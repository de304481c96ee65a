"""A benchmark's images table has one row per usable image, at its position in the labels."""

import csv
import hashlib
import io
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import settings as tries
from hypothesis import strategies as st
from PIL import Image

from tests.common.test_common_images import ADOBE_RGB
from workflow_scripts.common import tables, tars
from workflow_scripts.common.accounts import LOST_CLASSES, read_account
from workflow_scripts.common.config.evaluate import CsvBenchmark, LabelledFolder
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import sha256_file
from workflow_scripts.common.images import decode, pdq
from workflow_scripts.contracts import BENCHMARK_IMAGES, REPLAY_INDEX, SHARD_MANIFEST
from workflow_scripts.evaluate.csv.index import index_csv, read_labels
from workflow_scripts.evaluate.label_files import DIFFERING
from workflow_scripts.evaluate.replay.index import index_replay

HEADER = ["", "kingdom", "phylum", "cls", "order", "family", "genus", "species", "common_name", "filepath", "class"]
SHARK = ["Animalia", "Chordata", "Elasmobranchii", "Carcharhiniformes", "Scyliorhinidae", "Halaelurus", "natalensis"]


def photo(seed: int) -> bytes:
    """A JPEG with enough features for PDQ."""
    coarse = np.random.default_rng(seed).integers(0, 256, (24, 24, 3), np.uint8)
    return simplejpeg.encode_jpeg(cv2.resize(coarse, (192, 160), interpolation=cv2.INTER_CUBIC))


class Benchmark:
    """A folder of images and the CSV beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.images = folder / "images"
        self.images.mkdir(parents=True)
        self.out = folder / "out" / "images.parquet"

    def add(self, name: str, data: bytes) -> None:
        path = self.images / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def labels(self, rows: Sequence[Sequence[Any]], header: Sequence[str] = HEADER) -> Path:
        path = self.folder / "labels.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *rows])
        return path

    def index(self, labels: Path, **settings: Any) -> list[dict[str, Any]]:
        given = {"layout": "csv", "labels": str(labels), "images": str(self.images)} | settings
        index_csv(
            name="mine",
            settings=CsvBenchmark.model_validate(given),
            out=self.out,
            account=self.out.with_name("account.json"),
        )
        return tables.read_rows(self.out, BENCHMARK_IMAGES).to_pylist()


@pytest.fixture
def benchmark_of(tmp_path: Path) -> Benchmark:
    return Benchmark(tmp_path)


def test_names_with_spaces_ampersands_and_dots_are_read_verbatim(benchmark_of: Benchmark) -> None:
    name = "Amanita excelsa Gonn. & Rabenh."
    image = f"{name}/2816361340-208034.JPG"
    benchmark_of.add(image, photo(1))
    rows = benchmark_of.index(benchmark_of.labels([[0, image, name]], ["", "filepath", "class"]))
    [row] = rows
    assert (row["image"], row["class"], row["position"]) == (image, name, 0)
    assert row["path"] == str(benchmark_of.images / image)
    assert row["md5"] == hashlib.md5(photo(1)).hexdigest()
    assert row["offset"] is row["size"] is row["taxon_genus"] is row["common_name"] is None


def test_the_rank_class_comes_from_cls_and_empty_fields_are_null(benchmark_of: Benchmark) -> None:
    for number in range(2):
        benchmark_of.add(f"{number}.jpg", photo(number))
    labels = benchmark_of.labels(
        [
            [0, *SHARK, "tiger catshark", "0.jpg", "Halaelurus natalensis"],
            [1, "", "", "", "", "", "Larus", "argentatus", "", "1.jpg", "Larus argentatus"],
        ]
    )
    shark, gull = benchmark_of.index(labels, text_type="taxon_com")
    ranks = ("kingdom", "phylum", "class", "order", "family", "genus", "species")
    assert [shark[f"taxon_{rank}"] for rank in ranks] == SHARK
    assert (shark["class"], shark["common_name"]) == ("Halaelurus natalensis", "tiger catshark")
    assert [gull[f"taxon_{rank}"] for rank in ranks] == [None] * 5 + ["Larus", "argentatus"]
    assert gull["common_name"] is None


def test_missing_and_unreadable_images_are_named_and_shift_no_other(benchmark_of: Benchmark) -> None:
    files = {"good.jpg": photo(1), "cut.jpg": photo(2)[:400], "page.jpg": b"<html>", "last.jpg": photo(3)}
    for name, data in files.items():
        benchmark_of.add(name, data)
    names = ["good.jpg", "gone.jpg", "cut.jpg", "page.jpg", "last.jpg"]
    labels = benchmark_of.labels([[n, name, f"c{n}"] for n, name in enumerate(names)], ["", "filepath", "class"])
    rows = benchmark_of.index(labels)
    assert [(row["position"], row["image"], row["class"]) for row in rows] == [
        (0, "good.jpg", "c0"),
        (4, "last.jpg", "c4"),
    ]
    account = read_account(benchmark_of.out.with_name("account.json"))
    assert (account.rows_in, account.kept, account.dropped) == (5, 2, {"missing": 1, "unreadable": 2})
    assert account.notes == {
        "classes": 2,
        DIFFERING: 0,
        LOST_CLASSES: 3,
        "missing gone.jpg, row": 1,
        "unreadable cut.jpg, row": 2,
        "unreadable page.jpg, row": 3,
    }
    assert sorted(path.name for path in benchmark_of.images.iterdir()) == sorted(files), "the folder is only read"


def test_pdq_survives_another_encoding_and_is_null_for_a_blank_image(benchmark_of: Benchmark) -> None:
    benchmark_of.add("one.jpg", photo(1))
    benchmark_of.add("again.jpg", simplejpeg.encode_jpeg(simplejpeg.decode_jpeg(photo(1)), quality=60))
    benchmark_of.add("other.jpg", photo(2))
    benchmark_of.add("blank.jpg", simplejpeg.encode_jpeg(np.full((80, 80, 3), 255, np.uint8)))
    names = ["one.jpg", "again.jpg", "other.jpg", "blank.jpg"]
    rows = benchmark_of.index(benchmark_of.labels([[name, "c"] for name in names], ["filepath", "class"]))
    one, again, other, blank = (row["pdq"] for row in rows)

    def distance(first: str, second: str) -> int:
        return (int(first, 16) ^ int(second, 16)).bit_count()

    assert len(one) == 64
    assert distance(one, again) <= 10 < distance(one, other)
    assert blank is None


def test_an_image_is_hashed_in_the_colours_that_a_download_is(benchmark_of: Benchmark) -> None:
    """Otherwise the hash of an Adobe RGB copy differs by more than the 10 bits within which leakage is found."""
    packed = io.BytesIO()
    Image.open(io.BytesIO(photo(0))).save(packed, "JPEG", icc_profile=ADOBE_RGB)
    benchmark_of.add("wide.jpg", packed.getvalue())
    [row] = benchmark_of.index(benchmark_of.labels([["wide.jpg", "c"]], ["filepath", "class"]))
    assert row["pdq"] == pdq(decode(packed.getvalue()))


def test_threads_change_no_byte(benchmark_of: Benchmark) -> None:
    for number in range(12):
        benchmark_of.add(f"{number}.jpg", photo(number))
    labels = benchmark_of.labels([[f"{number}.jpg", "c"] for number in range(12)], ["filepath", "class"])
    benchmark_of.index(labels)
    again = benchmark_of.folder / "again.parquet"
    settings = CsvBenchmark(layout="csv", labels=str(labels), images=str(benchmark_of.images))
    index_csv(
        name="mine", settings=settings, out=again, account=again.with_suffix(".json"), jobs=5
    )  # fmt: skip
    assert again.read_bytes() == benchmark_of.out.read_bytes()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,place,class\n0,a.jpg,x\n", r"labels\.csv: missing column filepath; found id, place, class"),
        (",name\n0,x\n", r"labels\.csv: missing column filepath, class .*text_type.* found column0, name"),
        ("", r"labels\.csv: empty file"),
        ("filepath,class\na.jpg\n", r"labels\.csv: line 2 .*1 of 2 columns"),
        ("filepath,class\na.jpg,x\nb.jpg,y,z\n", r"labels\.csv: line 3 .*3 columns"),
        ("filepath,class\na.jpg,x\nb.jpg,  \n", r"labels\.csv: row 3: class is empty"),
        ("filepath,class\na.jpg,x\nb.jpg,nan\n", r"labels\.csv: row 3: class is empty"),
        ("filepath,class\n../a.jpg,x\n", r"row 2: filepath '\.\./a\.jpg' .*images.*find: name"),
        ("filepath,class\n/etc/a.jpg,x\n", r"row 2: filepath '/etc/a\.jpg' .*images.*find: name"),
        ("filepath,class\nC:\\photos\\a.jpg,x\n", r"row 2: filepath .*photos.* .*images.*find: name"),
        ("filepath,class\nhttps://example.org/a.jpg,x\n", r"row 2: filepath 'https://example\.org/a\.jpg' .*URL"),
        ("filepath,class\n.,x\n", r"row 2: filepath '\.'"),
        ("filepath,class,class\na.jpg,x,y\n", r"labels\.csv: .*column class"),
        ("filepath,class\n", "labels .*no images"),
        ("filepath,class\nb.jpg,x\n", r"none of its 1 images .*b\.jpg: No such file"),
    ],
)
def test_a_bad_csv_is_answered_with_file_and_line(benchmark_of: Benchmark, text: str, message: str) -> None:
    benchmark_of.add("a.jpg", photo(1))
    labels = benchmark_of.folder / "labels.csv"
    labels.write_text(text)
    with pytest.raises(InputError, match=message):
        benchmark_of.index(labels)
    assert not benchmark_of.out.exists()


def test_names_built_from_ranks_need_ranks(benchmark_of: Benchmark) -> None:
    benchmark_of.add("a.jpg", photo(1))
    labels = benchmark_of.labels([["a.jpg", "x"]], ["filepath", "class"])
    with pytest.raises(InputError, match=r"column.*genus.*species"):
        benchmark_of.index(labels, text_type="taxon_com")
    with pytest.raises(InputError, match=r"nowhere: no such folder"):
        benchmark_of.index(labels, images=str(benchmark_of.folder / "nowhere"))
    with pytest.raises(InputError, match=r"images\.zip is a file.* unpack"):
        (benchmark_of.folder / "images.zip").touch()
        benchmark_of.index(labels, images=str(benchmark_of.folder / "images.zip"))


TRAP = ["original_label", "scientific_name", "common_name", *HEADER[1:8], "filepath", "uuid"]
LION = ["lion", "panthera leo", "lion", "animalia", "chordata", "mammalia", "carnivora", "felidae", "panthera", "leo"]
BIRD = ["bird", "", "bird", "animalia", "chordata", "aves", "", "", "", ""]


def test_without_a_class_column_the_class_is_the_text_that_is_written(benchmark_of: Benchmark) -> None:
    """As the camera traps were published; a label may stop above the species."""
    for number in range(3):
        benchmark_of.add(f"{number}.png", photo(number))
    rows = [[*taxon, f"{number}.png", f"u{number}"] for number, taxon in enumerate((LION, BIRD, LION))]
    lion = "Animalia Chordata Mammalia Carnivora Felidae Panthera leo with common name lion"
    for text_type, expected in {
        "taxon_com": [lion, "Animalia Chordata Aves with common name bird", lion],
        "com": ["lion", "bird", "lion"],
    }.items():
        read = benchmark_of.index(benchmark_of.labels(rows, TRAP), text_type=text_type)
        assert [row["class"] for row in read] == expected
    with pytest.raises(InputError, match=r"labels\.csv: missing column class"):
        benchmark_of.index(benchmark_of.labels(rows, TRAP), text_type="asis")
    with pytest.raises(InputError, match=r"labels\.csv: row 3: .* sci;"):
        benchmark_of.index(benchmark_of.labels(rows, TRAP), text_type="sci")
    # An empty class column counts as missing.
    empty = benchmark_of.labels([[*row, ""] for row in rows], [*TRAP, "class"])
    assert [row["class"] for row in benchmark_of.index(empty, text_type="com")] == ["lion", "bird", "lion"]
    # A filled class column is kept: few-shot uses it.
    labelled = benchmark_of.labels([[*row, row[0]] for row in rows], [*TRAP, "class"])
    assert [row["class"] for row in benchmark_of.index(labelled, text_type="taxon_com")] == ["lion", "bird", "lion"]


def test_columns_in_any_order_marks_and_line_ends_change_nothing(benchmark_of: Benchmark) -> None:
    for name in ("a.JPG", "b.jpeg"):
        benchmark_of.add(f"x/{name}", photo(1))
    labels = benchmark_of.folder / "labels.csv"
    absolute = benchmark_of.images.absolute() / "x" / "a.JPG"
    labels.write_bytes(
        "\ufeffclass,class_idx,Unnamed: 0,filepath,note\r\n"
        f"Pica pica,7,0,{absolute},\r\n"
        '"Larus, argentatus",3,1,x/b.jpeg,"two\r\nlines"\r\n'.encode()
    )
    rows = benchmark_of.index(labels)
    assert [(row["class"], row["path"]) for row in rows] == [
        ("Pica pica", str(benchmark_of.images / "x" / "a.JPG")),
        ("Larus, argentatus", str(benchmark_of.images / "x" / "b.jpeg")),
    ]


def test_an_image_is_found_by_its_path_then_by_its_name_then_by_its_name_in_any_case(benchmark_of: Benchmark) -> None:
    files = ["images/1.jpg", "Apidae/1.jpg", "images/2.JPG", "images/3.jpg", "deeper/still/3.JPG", "images/4.jpeg"]
    for name in files:
        benchmark_of.add(name, photo(1))
    # The last two paths were written on another machine.
    named = ["Apidae/1.jpg", "Apidae/2.jpg", "Apidae/3.JPG", "/home/somebody/x/4.jpeg", r"Apidae\4.jpeg"]
    labels = benchmark_of.labels([[name, "c"] for name in named], ["filepath", "class"])
    rows = benchmark_of.index(labels, find="name")
    found = ["Apidae/1.jpg", "images/2.JPG", "deeper/still/3.JPG", "images/4.jpeg", "images/4.jpeg"]
    assert [row["path"] for row in rows] == [str(benchmark_of.images / name) for name in found]
    assert [row["image"] for row in rows] == named
    for name, message in {
        "Apidae/4.JPEG/../1.jpg": r"2 files .*1\.jpg",
        "a\0b.jpg": r"filepath 'a\\x00b\.jpg'",
    }.items():
        labels.write_text(f"filepath,class\n{name},c\n")
        with pytest.raises(InputError, match=f"row 2: .*{message}"):
            benchmark_of.index(labels, find="name")


cells = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(lambda cell: cell.strip())


@tries(max_examples=15, deadline=None)
@given(rows=st.lists(st.tuples(cells, cells), min_size=1, max_size=6), mark=st.booleans())
def test_any_csv_of_text_is_read_back_row_by_row(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], mark: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    rows = [(f"images{image}b", f"c{label}d") for image, label in rows]
    with path.open("w", newline="", encoding="utf-8-sig" if mark else "utf-8") as file:
        csv.writer(file).writerows([("", "filepath", "class"), *((0, *row) for row in rows)])
    # `..` in a path and URLs are refused, which is tested above.
    if any(".." in image.split("/") or "://" in image for image, _ in rows):
        return
    read = list(read_labels(LabelledFolder(labels=str(path), images="folder")))
    written: dict[str, str] = {}
    assert [(row.position, row.image, row.label) for row in read] == [
        (position, image, written.setdefault(unicodedata.normalize("NFC", " ".join(label.split())), label))
        for position, (image, label) in enumerate(rows)
    ]


@pytest.fixture
def replay(tmp_path: Path) -> Path:
    """Six held-out pairs in two shards; two captions are equal."""
    folder = tmp_path / "replay" / "val"
    manifest, rows = [], []
    for shard in range(2):
        tar = folder / f"shard-{shard:06d}.tar"
        names = [f"p{shard}{number}" for number in range(3)]
        captions = [f"a red shape {shard}", "a blue shape", f"a shape {shard}"]
        samples = zip(names, captions, strict=True)
        places = tars.write_tar(
            tar, ((name, {"jpg": photo(hash_of(name)), "txt": caption.encode()}) for name, caption in samples)
        )
        manifest.append({"shard": tar.name, "samples": 3, "bytes": tar.stat().st_size, "sha256": sha256_file(tar)})
        for position, place in enumerate(places):
            offset, size = place["jpg"]
            rows.append(
                {"uuid": names[position], "shard": tar.name, "position": position, "offset": offset, "size": size}
                | {"caption": captions[position]}
            )
    tables.write_rows(manifest, SHARD_MANIFEST, folder / "manifest.parquet")
    tables.write_rows(rows, REPLAY_INDEX, folder / "index.parquet")
    return folder


def hash_of(name: str) -> int:
    return int(name[1:])


def test_held_out_pairs_are_rows_whose_bytes_lie_in_the_shards(replay: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(replay.parents[1])
    out = Path("out") / "images.parquet"
    index_replay(name="replay", shards=Path("replay/val"), out=out, account=out.with_name("account.json"))
    rows = tables.read_rows(out, BENCHMARK_IMAGES).to_pylist()
    assert [row["image"] for row in rows] == ["p00", "p01", "p02", "p10", "p11", "p12"]
    assert [row["class"] for row in rows[:2]] == ["a red shape 0", "a blue shape"]
    for row in rows:
        assert row["path"].startswith("replay/val/shard-00000")
        data = Path(row["path"]).read_bytes()[row["offset"] : row["offset"] + row["size"]]
        assert data == photo(hash_of(row["image"]))
        assert row["md5"] == hashlib.md5(data).hexdigest()
    assert read_account(out.with_name("account.json")).notes == {"classes": 5, DIFFERING: 0}


def test_replay_shards_are_verified_first(replay: Path, tmp_path: Path) -> None:
    def index() -> None:
        index_replay(name="replay", shards=replay, out=tmp_path / "o.parquet", account=tmp_path / "a.json")

    tar = replay / "shard-000001.tar"
    data = tar.read_bytes()
    tar.write_bytes(data[:-1] + b"x")
    with pytest.raises(InputError, match=r"shard-000001\.tar: .*manifest"):
        index()
    tar.unlink()
    with pytest.raises(InputError, match=r"shard-000001\.tar: missing"):
        index()
    tar.write_bytes(data)
    rows = tables.read_rows(replay / "index.parquet", REPLAY_INDEX).to_pylist()
    tables.write_rows(rows[:-1], REPLAY_INDEX, replay / "index.parquet")
    with pytest.raises(InputError, match=r"manifest\.parquet: .*shard-000001\.tar.*index"):
        index()
    tables.write_rows([], REPLAY_INDEX, replay / "index.parquet")
    tables.write_rows([], SHARD_MANIFEST, replay / "manifest.parquet")
    with pytest.raises(InputError, match="no replay pair is held out"):
        index()
