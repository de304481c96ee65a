"""The world's files: deterministic, benchmarks without leaked images, faults in the declared shares."""

import csv
import hashlib
import json
from collections import Counter
from pathlib import Path

import cv2
import pyarrow.parquet as pq
import pytest

from workflow_scripts.common.config.world import WorldSettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.contracts import RANKS
from workflow_scripts.world.labels import TROUBLES
from workflow_scripts.world.make import make_world
from workflow_scripts.world.table import SHIPPED, read_species

MICRO = WorldSettings(images_per_species=6, unseen_species=4, benchmark_images_per_species=6, replay_pairs=150)


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """About twenty of the shipped species: every tenth pair of rows, so that most genera keep two."""
    lines = SHIPPED.read_text(encoding="utf-8").splitlines()
    path = tmp_path_factory.mktemp("table") / "species.csv"
    path.write_text("\n".join([lines[0], *[line for row, line in enumerate(lines[1:]) if row // 2 % 10 == 0]]) + "\n")
    return path


@pytest.fixture(scope="module")
def world(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("world")
    make_world(settings=MICRO, out=out, species=table, jobs=2)
    return out


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_same_settings_give_the_same_bytes_with_any_number_of_jobs(
    world: Path, table: Path, tmp_path: Path
) -> None:
    make_world(settings=MICRO, out=tmp_path / "again", species=table, jobs=1)
    assert digests(tmp_path / "again") == digests(world)


def test_another_world_in_the_same_folder_leaves_nothing_of_the_first(table: Path, tmp_path: Path) -> None:
    small = WorldSettings(images_per_species=3, unseen_species=2, benchmark_images_per_species=6, replay_pairs=50)
    other = small.model_copy(update={"images_per_species": 2, "seed": 7})
    make_world(settings=small, out=tmp_path / "one", species=table)
    make_world(settings=other, out=tmp_path / "one", species=table)
    make_world(settings=other, out=tmp_path / "two", species=table)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


def test_a_folder_with_other_files_is_refused_and_untouched(table: Path, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match=r"thesis\.txt.*folder of its own"):
        make_world(settings=MICRO, out=tmp_path, species=table)
    assert digests(tmp_path).keys() == {"site/thesis.txt"}


def test_unseen_species_are_nowhere_in_the_catalogue(world: Path) -> None:
    unseen = {row["class"] for row in read_csv(world / "benchmarks" / "rare_species" / "labels.csv")}
    assert len(unseen) == MICRO.unseen_species
    rows = pq.read_table(world / "catalog.parquet").to_pylist() + read_csv(world / "table.csv")
    for row in rows:
        texts = {row["scientific_name"], row["species"], f"{row['genus']} {row['species']}"}
        assert not unseen & texts
    site = json.loads((world / "world.json").read_text())
    files = {page.get("file") or "" for host in site["hosts"].values() for page in host["pages"].values()}
    assert not any(name.replace(" ", "_") in file for name in unseen for file in files)


def test_benchmarks_have_fresh_images_in_the_layouts_of_the_real_ones(world: Path) -> None:
    offered = {digest for path, digest in digests(world).items() if not path.startswith("benchmarks/")}
    for name in ("rare_species", "seen_species", "insects"):
        labels = read_csv(world / "benchmarks" / name / "labels.csv")
        images = [world / "benchmarks" / name / "images" / row["filepath"] for row in labels]
        found = {hashlib.sha256(image.read_bytes()).hexdigest() for image in images}
        assert len(found) == len(labels)
        assert not found & offered
        assert set(Counter(row["class"] for row in labels).values()) == {MICRO.benchmark_images_per_species}
    ranks = ["cls" if rank == "class" else rank for rank in RANKS]
    assert list(labels[0]) == ["", "filepath", "class"]
    rare = read_csv(world / "benchmarks" / "rare_species" / "labels.csv")[0]
    assert list(rare) == ["", *ranks, "common_name", "filepath", "class"]
    assert rare["class"] == f"{rare['genus']} {rare['species']}"


def test_every_row_has_provenance_and_a_unique_url(world: Path) -> None:
    records = pq.read_table(world / "catalog.parquet").to_pylist()
    provenance = pq.read_table(world / "provenance.parquet").to_pylist()
    assert [row["uuid"] for row in records] == [row["uuid"] for row in provenance]
    assert len({row["uuid"] for row in records}) == len({row["source_url"] for row in records}) == len(records)
    assert {"license_name", "copyright_owner", "license_link", "title"} <= provenance[0].keys()
    assert {row["data_source"] for row in records} == {"gbif", "eol"}


def test_photos_of_one_occurrence_share_its_label(world: Path) -> None:
    labels: dict[tuple[str, str], set[str]] = {}
    for row in pq.read_table(world / "catalog.parquet").to_pylist():
        key = (row["data_source"], row["source_id"])
        labels.setdefault(key, set()).add(json.dumps([row[rank] for rank in (*RANKS, "scientific_name")]))
    assert all(len(found) == 1 for found in labels.values())


def test_about_one_label_in_seven_has_an_error_and_few_lose_their_species() -> None:
    assert 0.13 < sum(trouble.share for trouble in TROUBLES) < 0.17
    assert 0.01 <= sum(trouble.share for trouble in TROUBLES if not trouble.names_species) <= 0.02


def test_every_kind_of_label_error_occurs(world: Path) -> None:
    rows = pq.read_table(world / "catalog.parquet").to_pylist() + read_csv(world / "table.csv")
    texts = [row["species"] or "" for row in rows]
    assert any(row["kingdom"] in ("Metazoa", "Viridiplantae", "Archaeplastida", "Chloroplastida") for row in rows)
    assert any(row["genus"] and text.startswith(row["genus"] + " ") for row, text in zip(rows, texts, strict=True))
    assert any(text.startswith("<i>") for text in texts)
    assert any(text.startswith("cf. ") for text in texts)
    assert any(text == "sp." for text in texts)
    assert any(text.isupper() for text in texts)
    assert any(not row["genus"] and len(text.split()) == 2 for row, text in zip(rows, texts, strict=True))
    assert any(not any(row[rank] for rank in (*RANKS, "scientific_name")) for row in rows)
    synonyms = {name for one in read_species() for name in one.synonyms}
    assert any(row["scientific_name"] in synonyms for row in rows)


def test_the_small_table_has_local_images_except_one_missing_file(world: Path) -> None:
    rows = read_csv(world / "table.csv")
    missing = [row for row in rows if not (world / "table_images" / row["path"]).is_file()]
    assert len(missing) == 1
    assert len({row["path"] for row in rows}) == len(rows)


def test_every_taxon_of_the_backbone_has_a_kingdom(world: Path) -> None:
    with (world / "backbone" / "Taxon.tsv").open(encoding="utf-8", newline="") as file:
        taxa = {row["taxonID"]: row for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)}
    for row in taxa.values():
        accepted = taxa[row["acceptedNameUsageID"]] if row["acceptedNameUsageID"] else row
        assert accepted["taxonomicStatus"] in ("accepted", "doubtful")
        steps = 0
        while accepted["parentNameUsageID"]:
            accepted = taxa[accepted["parentNameUsageID"]]
            steps += 1
        assert accepted["taxonRank"] == "kingdom"
        assert steps <= 6
    by_name = Counter(row["canonicalName"] for row in taxa.values() if row["taxonRank"] == "species")
    assert by_name["Laelia rosea"] == 2
    assert {"doubtful", "synonym", "homotypic synonym"} <= {row["taxonomicStatus"] for row in taxa.values()}
    with (world / "backbone" / "VernacularName.tsv").open(encoding="utf-8", newline="") as file:
        names = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    assert {row["taxonID"] for row in names} <= taxa.keys()
    assert len({row["language"] for row in names}) > 2


def test_replay_has_every_caption_and_some_rows_to_exclude(world: Path) -> None:
    rows = pq.read_table(world / "replay.parquet").to_pylist()
    assert list(rows[0]) == ["URL", "TEXT", "WIDTH", "HEIGHT", "similarity", "punsafe", "pwatermark"]
    assert len(rows) == MICRO.replay_pairs
    assert 60 <= len({row["TEXT"] for row in rows}) <= 120
    assert any(row["punsafe"] > 0.5 for row in rows)
    assert any((row["pwatermark"] or 0) > 0.8 for row in rows)
    assert any(row["similarity"] < 0.28 for row in rows)
    site = json.loads((world / "world.json").read_text())
    for row in rows:
        host, _, path = row["URL"].removeprefix("http://").partition("/")
        page = site["hosts"][host.split(":")[0]]["pages"]["/" + path]
        if page.get("file"):
            assert cv2.imread(str(world / page["file"])).shape[:2] == (row["HEIGHT"], row["WIDTH"])
        else:
            assert page["status"] == 404


def test_without_troubles_every_url_is_an_image_and_every_label_is_right(table: Path, tmp_path: Path) -> None:
    make_world(settings=MICRO.model_copy(update={"troubles": False}), out=tmp_path, species=table)
    site = json.loads((tmp_path / "world.json").read_text())
    pages = [page for host in site["hosts"].values() for page in host["pages"].values()]
    assert all(page.keys() == {"file"} and (tmp_path / page["file"]).is_file() for page in pages)
    names = {one.binomial: one.ranks for one in read_species(table)}
    for row in pq.read_table(tmp_path / "catalog.parquet").to_pylist():
        assert names[row["scientific_name"]] == tuple(row[rank] for rank in RANKS)
    assert all((tmp_path / "table_images" / row["path"]).is_file() for row in read_csv(tmp_path / "table.csv"))
