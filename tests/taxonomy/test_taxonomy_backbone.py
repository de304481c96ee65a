"""Backbones from Darwin Core Archives."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from workflow_scripts.common.errors import InputError
from workflow_scripts.taxonomy.backbone import build_backbone

Made = tuple[Path, dict[str, Any]]


def taxon(key: str, name: str, rank: str, parent: str = "", accepted: str = "", **values: str) -> dict[str, str]:
    """A row of Taxon.tsv."""
    status = "synonym" if accepted else "accepted"
    return {
        "taxonID": key,
        "parentNameUsageID": parent,
        "acceptedNameUsageID": accepted,
        "scientificName": name,
        "taxonRank": rank,
        "taxonomicStatus": status,
    } | values


def content(file: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of a backbone's tables, in their order."""
    with duckdb.connect(str(file), read_only=True) as connection:
        tables = [row[0] for row in connection.execute("SHOW TABLES").fetchall()]
        return {table: connection.execute(f"FROM {table}").fetchall() for table in tables}


def taxa(file: Path) -> dict[str, tuple[Any, ...]]:
    """Ranks, scientific name and resolved rank by id."""
    return {row[0]: row[2:] for row in content(file)["taxa"]}


def test_ranks_come_from_parents_and_else_from_the_row(make_backbone: Callable[..., Made]) -> None:
    file, _ = make_backbone(
        [
            taxon("1", "Plantae", "KINGDOM"),
            taxon("2", "Fagaceae", "family", "1"),
            taxon("3", "Fagoideae", "subfamily", "2"),
            taxon("4", "Quercus L.", "genus", "3", order="Fagales", family="Elsewhereaceae"),
            taxon("5", "Quercus alba L.", "species", "4"),
            taxon("6", "Pica pica", "species", kingdom="Animalia", **{"class": "Aves"}, order="incertae sedis"),
        ]
    )
    assert taxa(file)["test:4"] == (
        *("Plantae", None, None, "Fagales", "Fagaceae", "Quercus", None),
        *("Quercus", "genus"),
    )
    assert taxa(file)["test:5"][-2:] == ("Quercus alba", "species")
    assert taxa(file)["test:6"][:7] == ("Animalia", None, "Aves", None, None, "Pica", "pica")
    assert taxa(file)["test:3"][-2:] == ("Fagaceae", "family")


def test_synonyms_lead_to_what_is_accepted_and_faults_are_counted(make_backbone: Callable[..., Made]) -> None:
    file, summary = make_backbone(
        [
            taxon("1", "Aus bus", "species"),
            taxon("2", "Aus cus", "species", accepted="1"),
            taxon("3", "Aus dus", "species", accepted="2"),
            taxon("4", "Aus eus", "species", accepted="nowhere"),
            taxon("5", "Aus fus", "species", accepted="6"),
            taxon("6", "Aus gus", "species", accepted="5"),
            taxon("7", "Aus hus", "species", taxonomicStatus="synonym"),
            taxon("8", "Aus ius", "species", parent="nowhere"),
            taxon("9", "Xaceae", "family", parent="10"),
            taxon("10", "Xales", "order", parent="9", kingdom="Plantae"),
            taxon("1", "Zus zus", "species"),
            taxon("", "Nameless", "genus"),
            taxon("11", "Bus bus", "species", accepted="1", taxonomicStatus="misapplied"),
        ]
    )
    names = {row[0]: row[-1] for row in content(file)["names"]}
    assert (names["aus bus"], names["aus cus"], names["aus dus"]) == ("test:1", "test:1", "test:1")
    assert not {"aus eus", "aus fus", "aus gus", "aus hus", "bus bus", "zus zus"} & set(names)
    assert names["aus ius"] == "test:8"
    assert taxa(file)["test:10"][0] == "Plantae"
    assert summary["refused"] == {
        "dangling_synonyms": 1,
        "in_synonym_cycles": 2,
        "misapplied": 1,
        "repeated_ids": 1,
        "rows_without_id": 1,
        "synonyms_without_accepted": 1,
    }
    assert (summary["rows"], summary["rows_named"]) == (13, 6)
    assert (summary["dangling_parents"], summary["in_parent_cycles"]) == (1, 2)


def test_a_doubtful_name_does_not_resolve_to_its_genus(make_backbone: Callable[..., Made]) -> None:
    file, _ = make_backbone(
        [
            taxon("1", "Quercus", "genus"),
            taxon("2", "Quercus sp. 7", "species", "1"),
            taxon("3", "BOLD:AAA1", "unranked"),
        ]
    )
    assert [row[4] for row in content(file)["names"] if row[0] == "quercus"] == ["test:1"]


def test_a_place_kept_free_is_no_name(make_backbone: Callable[..., Made]) -> None:
    file, summary = make_backbone(
        [
            taxon("0", "incertae sedis", "kingdom"),
            taxon("1", "Plantae", "kingdom"),
            taxon("2", "Not assigned", "order", "1"),
            taxon("3", "Vaga", "genus", "0"),
            taxon("4", "Quercus", "genus", "2"),
        ]
    )
    assert taxa(file)["test:3"] == (None, None, None, None, None, "Vaga", None, "Vaga", "genus")
    assert taxa(file)["test:4"][:6] == ("Plantae", None, None, None, None, "Quercus")
    assert "test:0" not in taxa(file)
    assert summary["refused"] == {"unreadable_names": 2}


def test_quotes_and_signs_are_letters_like_others(make_backbone: Callable[..., Made]) -> None:
    file, summary = make_backbone(
        [taxon("1", 'Aus bus "Smith', "species"), taxon("'; DROP TABLE names; --", "Aus cus O'Brien", "species")],
        [{"taxonID": "1", "vernacularName": 'the "bus', "language": "EN"}],
    )
    assert summary["rows_named"] == 2
    assert [row[0] for row in content(file)["names"] if " " in row[0]] == ["aus bus", "aus cus"]
    assert content(file)["vernaculars"][0][1:3] == ("en", "the bus")


def test_folder_and_zip_and_any_order_of_rows_give_the_same(
    tmp_path: Path, archive: Path, backbone: Path, rows: list[dict[str, str]], make_backbone: Callable[..., Made]
) -> None:
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as packed:
        for file in archive.iterdir():
            packed.write(file, f"backbone/{file.name}")
    out = tmp_path / "zipped.duckdb"
    build_backbone(
        name="test",
        archive=tmp_path / "archive.zip",
        out=out,
        summary=tmp_path / "summary.json",
        memory_mb=1000,
        threads=2,
    )
    assert content(out) == content(backbone)
    shuffled = content(make_backbone(rows[::-1])[0])
    assert {name: shuffled[name] for name in ("names", "taxa")} == {
        name: rows for name, rows in content(backbone).items() if name != "vernaculars"
    }


@pytest.mark.parametrize(
    "files, said",
    [
        ({}, "no table of names"),
        ({"Taxon.tsv": "taxonID\tkingdom\n1\tPlantae\n"}, "no table of names"),
        ({"Taxon.tsv": "taxonID\tscientificName\n1\tAus\n2\tBus\n"}, "none of its 2 rows names a taxon"),
        (
            {"Taxon.tsv": "taxonID\tscientificName\ttaxonRank\n1\tAus\tgenus\n2\tBus\tgenus\textra\tmore\n"},
            "line 3 has 5 columns",
        ),
        (
            {"Taxon.tsv": "taxonID\tscientificName\ttaxonRank\n1\tAus\tgenus\n2 broken\n by a line\tgenus\n"},
            "line 3 has 1 of 3 columns",
        ),
    ],
)
def test_missing_files_are_one_line(tmp_path: Path, files: dict[str, str], said: str) -> None:
    (tmp_path / "archive").mkdir()
    for name, text in files.items():
        (tmp_path / "archive" / name).write_text(text)
    out = tmp_path / "out" / "backbone.duckdb"
    with pytest.raises(InputError) as caught:
        build_backbone(
            name="test",
            archive=tmp_path / "archive",
            out=out,
            summary=tmp_path / "summary.json",
            memory_mb=500,
            threads=1,
        )
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(out.parent.iterdir())


def test_no_archive_and_no_zip_are_named(tmp_path: Path) -> None:
    (tmp_path / "text.zip").write_text("no zip")
    for name in ("nowhere.zip", "text.zip"):
        with pytest.raises(InputError, match=name):
            build_backbone(
                name="test",
                archive=tmp_path / name,
                out=tmp_path / "b.duckdb",
                summary=tmp_path / "s.json",
                memory_mb=500,
                threads=1,
            )


USAGES = """col:ID\tcol:parentID\tcol:status\tcol:scientificName\tcol:authorship\tcol:rank
P\t\taccepted\tPlantae\t\tkingdom
F\tP\taccepted\tFagaceae\tDumort.\tfamily
6W3C4\tF\taccepted\tQuercus\tL.\tgenus
4R8SQ\t6W3C4\taccepted\tQuercus alba\tL.\tspecies
SYN1\t4R8SQ\tsynonym\tQuercus candida\tSteud.\tspecies
SYN2\tSYN1\tambiguous synonym\tQuercus nivea\tRaf.\tspecies
PROV\t6W3C4\tprovisionally accepted\tQuercus dubia\t"Bechst.\tspecies
MIS\t4R8SQ\tmisapplied\tQuercus robur\tauct.\tspecies
BARE\t\tbare name\tQuercus nuda\t\tspecies
"""


def write_coldp(folder: Path) -> Path:
    """A ColDP archive's folder, as written by Catalogue of Life."""
    folder.mkdir()
    (folder / "NameUsage.tsv").write_text(USAGES, encoding="utf-8")
    (folder / "VernacularName.tsv").write_text("col:taxonID\tcol:name\tcol:language\n4R8SQ\twhite oak\teng\n")
    return folder


def test_a_coldp_archive_is_read_as_a_darwin_core_one(tmp_path: Path) -> None:
    folder = write_coldp(tmp_path / "coldp")
    with zipfile.ZipFile(tmp_path / "coldp.zip", "w") as packed:
        for file in folder.iterdir():
            packed.write(file, file.name)
    made = []
    for archive in (folder, tmp_path / "coldp.zip"):
        out = tmp_path / f"{archive.name}.duckdb"
        summary = tmp_path / "summary.json"
        build_backbone(name="col", archive=archive, out=out, summary=summary, memory_mb=500, threads=1, reader="coldp")
        made.append(content(out))
    assert made[0] == made[1]
    accepted = {row[0]: (row[3], row[-1]) for row in made[0]["names"]}
    assert accepted["quercus candida"] == accepted["quercus nivea"] == (1, "col:4R8SQ")
    assert accepted["quercus dubia"] == (2, "col:PROV")
    assert not {"quercus robur", "quercus nuda"} & set(accepted)
    assert taxa(tmp_path / "coldp.duckdb")["col:4R8SQ"][:6] == ("Plantae", None, None, None, "Fagaceae", "Quercus")
    assert made[0]["vernaculars"] == [("col:4R8SQ", "eng", "white oak", False, 1)]


def test_an_archive_of_the_other_format_is_named(tmp_path: Path, archive: Path) -> None:
    with pytest.raises(InputError, match=r"no NameUsage.*reader: dwca"):
        build_backbone(
            name="col",
            archive=archive,
            out=tmp_path / "b.duckdb",
            summary=tmp_path / "s.json",
            memory_mb=500,
            threads=1,
            reader="coldp",
        )


def test_a_name_keeps_its_author_from_the_column_or_from_behind_the_name(make_backbone: Callable[..., Made]) -> None:
    file, _ = make_backbone(
        [
            taxon("1", "Aus bus", "species", scientificNameAuthorship="Smith, 1900"),
            taxon("2", "Aus cus (Jones, 1901)", "species"),
            taxon("3", "Aus bus subsp. dus Müll.", "subspecies", canonicalName="Aus bus dus"),
            taxon("4", "Xaceae Juss.", "family"),
            taxon("5", "Aus eus", "species"),
            taxon("6", "Aus sp. 7", "species"),
        ]
    )
    with duckdb.connect(str(file), read_only=True) as connection:
        authors = dict(connection.execute("SELECT taxon_id, authorship FROM names").fetchall())
    assert authors == {
        "test:1": "Smith, 1900",
        "test:2": "(Jones, 1901)",
        "test:3": "Müll.",
        "test:4": "Juss.",
        "test:5": None,
        "test:6": None,
        "test:genus Aus": None,
    }
