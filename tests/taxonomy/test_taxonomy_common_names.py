"""Common names of checklists: their languages, their preference, and an account of every row."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Made = tuple[Path, dict[str, Any]]
Row = dict[str, str]
SPECIES = ("bus", "cus", "dus")
TAXA = [{"taxonID": key, "scientificName": f"Aus {key}", "taxonRank": "species"} for key in SPECIES]
LABELS = [{"species": f"Aus {key}"} for key in SPECIES]


def common(key: str, name: str, language: str = "", **others: str) -> Row:
    return {"taxonID": key, "vernacularName": name, "language": language, **others}


@pytest.fixture
def named(
    tmp_path: Path, resolved: Callable[..., list[dict[str, Any]]], make_backbone: Callable[..., Made]
) -> Callable[..., tuple[list[str | None], dict[str, int]]]:
    """The common names that labels get from a checklist, and the account's counts of common names."""

    def resolve(commons: list[Row], **settings: Any) -> tuple[list[str | None], dict[str, int]]:
        out = tmp_path / "labels.parquet"
        answers = resolved(LABELS, backbones={"test": make_backbone(TAXA, commons)[0]}, out=out, **settings)
        notes = json.loads(out.with_suffix(".json").read_text())["notes"]
        counts = {key.removeprefix("common names of test "): rows for key, rows in notes.items() if "common" in key}
        return [answer["common_name"] for answer in answers], counts

    return resolve


def test_names_without_a_language_are_used_if_the_checklist_states_none(named: Callable[..., Any]) -> None:
    names, counts = named([common("bus", "the bus"), common("cus", "the cus", "unspecified")])
    assert names == ["the bus", "the cus", None]
    assert counts == {"in taxonomy.languages": 2}
    assert named([common("bus", "the bus")], languages=[])[0][0] is None


def test_names_without_a_language_beside_others_are_counted_until_the_config_lists_und(
    named: Callable[..., Any],
) -> None:
    commons = [common("bus", "the bus", "en"), common("bus", "bussy"), common("cus", "cussy"), common("dus", "x", "zu")]
    names, counts = named(commons)
    assert names == ["the bus", None, None]
    (remedy,) = (key for key in counts if "und" in key and "taxonomy.languages" in key)
    assert counts == {"in taxonomy.languages": 1, remedy: 2, "in other languages (not used)": 1}
    names, counts = named(commons, languages=["en", "und"])
    assert names == ["the bus", "cussy", None]
    assert counts == {"in taxonomy.languages": 3, "in other languages (not used)": 1}


def test_every_row_of_common_names_is_used_or_refused_by_reason(make_backbone: Callable[..., Made]) -> None:
    commons = [
        common("bus", "the bus | a bus", "English"),
        common("bus", "le bus", "http://id.loc.gov/vocabulary/iso639-2/FRE"),
        common("bus", "jîngo'b", "ISO639-3:oje"),
        common("bus", "bus"),
        common("cus", "No common name", "en"),
        common("cus", "", "en"),
        common("gone", "the gone", "en"),
        common("dus", "d" * 101, "en"),
        common("#dus", "the dus", "en"),
    ]
    _, summary = make_backbone(TAXA, commons)
    assert summary["vernacular_languages"] == {"english": 1, "fre": 1, "oje": 1, "und": 1}
    assert summary["vernaculars"] == 5
    assert summary["vernaculars_refused"] == {
        "commented_rows": 1,
        "of_no_taxon": 1,
        "rows_without_name": 2,
        "too_long": 1,
    }
    assert summary["vernacular_rows"] == len(commons)


def test_the_preferred_name_comes_before_the_most_frequent_one(
    tmp_path: Path, resolved: Callable[..., list[dict[str, Any]]], build: Callable[..., dict[str, Any]]
) -> None:
    (tmp_path / "taxa.csv").write_text("taxonID,scientificName,taxonRank\n1,Aus bus,species\n2,Aus cus,species\n")
    (tmp_path / "commons.csv").write_text(
        "taxonID,vernacularName,language,isPreferredName\n"
        "1,a bus,en,false\n1,a bus,en,\n1,the bus,en,TRUE\n2,cussy,en,\n"
    )
    build(tmp_path, tmp_path / "made.duckdb")
    answers = resolved(LABELS[:2], backbones={"test": tmp_path / "made.duckdb"})
    assert [answer["common_name"] for answer in answers] == ["the bus", "cussy"]


def test_names_in_the_rows_of_taxa_are_read(
    tmp_path: Path, resolved: Callable[..., list[dict[str, Any]]], build: Callable[..., dict[str, Any]]
) -> None:
    (tmp_path / "taxa.csv").write_text(
        "taxonID,scientificName,taxonRank,vernacularName,language\n"
        "1,Aus bus,species,the bus; a bus,en\n2,Aus cus,species,der Cus,de\n3,Aus dus,species,,\n"
    )
    summary = build(tmp_path / "taxa.csv", tmp_path / "made.duckdb")
    answers = resolved(LABELS, backbones={"test": tmp_path / "made.duckdb"})
    assert [answer["common_name"] for answer in answers] == ["a bus", None, None]
    assert summary["vernacular_languages"] == {"de": 1, "en": 1}


def test_names_in_the_rows_of_taxa_count_once_beside_a_table_of_common_names(
    tmp_path: Path, build: Callable[..., dict[str, Any]]
) -> None:
    (tmp_path / "taxa.csv").write_text(
        "taxonID,scientificName,taxonRank,vernacularName,language\n1,Aus bus,species,the bus,en\n"
    )
    (tmp_path / "commons.csv").write_text("taxonID,vernacularName,language\n1,a bus,en\n")
    assert build(tmp_path, tmp_path / "made.duckdb")["vernacular_rows"] == 2
