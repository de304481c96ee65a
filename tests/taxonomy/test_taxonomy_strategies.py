"""Strategies beyond exact names: misspelt, incomplete, overridden by a curator, and explained."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.messages import says
from workflow_scripts.common.errors import InputError
from workflow_scripts.taxonomy.explain import explain

Resolved = Callable[..., list[dict[str, Any]]]
Backbones = Callable[..., tuple[Path, dict[str, Any]]]


def taxon(key: str, name: str, rank: str = "species", parent: str = "", accepted: str = "") -> dict[str, str]:
    """A row of Taxon.tsv."""
    row = {"taxonID": key, "parentNameUsageID": parent, "acceptedNameUsageID": accepted, "scientificName": name}
    return row | {"taxonRank": rank, "taxonomicStatus": "synonym" if accepted else "accepted"}


@pytest.fixture(scope="module")
def near_names(make_backbone: Backbones) -> Path:
    """Species with names that differ by a letter or two."""
    rows = [taxon("p", "Plantae", "kingdom"), taxon("a", "Animalia", "kingdom")]
    rows += [
        taxon("f", "Ausaceae", "family", "p"),
        taxon("g", "Ausus", "genus", "f"),
        taxon("h", "Ausus", "genus", "a"),
    ]
    rows += [
        taxon(f"s{place}", f"Ausus {epithet}", parent="g")
        for place, epithet in enumerate(["macrophyllus", "rubescens", "rubescans", "longiflorus", "alpinus", "smithii"])
    ]
    rows += [taxon("s9", "Ausus longiflores", parent="h"), taxon("t", "Busanthus orientalis", parent="f")]
    return make_backbone(rows)[0]


@pytest.mark.parametrize(
    "label, outcome",
    [
        ({"species": "Ausus macrophylus"}, "macrophyllus"),
        ({"species": "Ausus microphyllus", "kingdom": "Plantae"}, "higher_rank"),
        # As near to rubescens as to rubescans.
        ({"species": "Ausus rubescins", "kingdom": "Plantae"}, "higher_rank"),
        # Nearer to one of them.
        ({"species": "Ausus rubescenss", "kingdom": "Plantae"}, "rubescens"),
        # A similar name in another kingdom is never taken.
        ({"species": "Ausus longiflores", "kingdom": "Plantae"}, "conflict"),
        ({"species": "Ausus longifloris", "kingdom": "Plantae"}, "longiflorus"),
        ({"species": "Ausus longifloris", "kingdom": "Animalia"}, "longiflores"),
        ({"species": "Ausus alpina", "kingdom": "Plantae"}, "alpinus"),
        ({"species": "Ausus smithi", "kingdom": "Plantae"}, "smithii"),
        ({"species": "Ausus alpxxus", "kingdom": "Plantae"}, "higher_rank"),
        ({"species": "Bussanthus orientalis", "family": "Ausaceae"}, "orientalis"),
        ({"species": "Bussanthus orientalis", "kingdom": "Plantae"}, "higher_rank"),
        ({"species": "Ausus cf. alpina", "kingdom": "Plantae"}, "higher_rank"),
    ],
)
def test_a_misspelling_is_read_only_where_one_name_is_nearest(
    resolved: Resolved, near_names: Path, label: dict[str, str], outcome: str
) -> None:
    (answer,) = resolved([label], backbones={"test": near_names})
    assert outcome in (answer["species"], answer["reason"], answer["strategy"])
    if answer["species"]:
        assert (answer["strategy"], answer["match_type"]) == ("fuzzy", "fuzzy")


def test_the_holes_of_a_label_are_filled_to_tell_homonyms_apart(resolved: Resolved) -> None:
    # Neither Agonum is in the family of snout moths, but one is in their order.
    rows = [
        {"family": "Noctuidae", "species": "Agonum ambiguum"},
        {"species": "Agonum ambiguum", "family": "Coccinellidae"},
    ]
    moth, beetle = resolved(rows)
    assert (moth["order"], moth["strategy"]) == ("Lepidoptera", "rank_context")
    assert (beetle["order"], beetle["strategy"]) == ("Coleoptera", "filled")
    assert "missing ranks" in beetle["detail"]
    (without,) = resolved(rows[1:], strategies=["exact", "rank_context", "higher_rank"])
    assert without["reason"] == "ambiguous"


def write_overrides(path: Path, *rows: str) -> Path:
    """A curator's file."""
    path.write_text("\n".join(("kingdom,genus,species,scientific_name,taxon_id,why", *rows)) + "\n", encoding="utf-8")
    return path


OAK = "test:/Plantae/Tracheophyta/Magnoliopsida/Fagales/Fagaceae/Quercus"


def test_the_override_that_says_most_of_a_label_decides(resolved: Resolved, tmp_path: Path) -> None:
    overrides = write_overrides(
        tmp_path / "overrides.csv",
        f',,"Apis mellifera",,{OAK},wrong on purpose',
        f"Animalia,,Apis mellifera,,{OAK}/Quercus alba L.,more of it",
        ",,Homo sapiens,,,no organism of ours",
    )
    labels = [
        {"species": "Apis mellifera"},
        {"species": "APIS  mellifera", "kingdom": "Animalia"},
        {"species": "Homo sapiens"},
        {"species": "Canis lupus"},
    ]
    bee, more, man, wolf = resolved(labels, overrides=overrides)
    assert (bee["scientific_name"], bee["strategy"], bee["detail"]) == (
        "Quercus",
        "override",
        "curator's override: wrong on purpose",
    )
    assert (more["scientific_name"], more["confidence"]) == ("Quercus alba", 1.0)
    assert (man["reason"], man["detail"]) == ("overridden", "curator's override: no organism of ours")
    assert wolf["strategy"] == "exact"


@pytest.mark.parametrize(
    "row, message",
    [
        (",,Apis mellifera,,test:nowhere,", "row 2: no backbone has the taxon test:nowhere"),
        (f",,,,{OAK},", "row 2 .*scientific_name"),
    ],
)
def test_an_override_that_cannot_be_followed_is_named(
    resolved: Resolved, tmp_path: Path, row: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        resolved([{"species": "Canis lupus"}], overrides=write_overrides(tmp_path / "overrides.csv", row))


def test_an_invalid_overrides_file_is_named(resolved: Resolved, tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("species,taxon\nApis,1\n")
    with pytest.raises(InputError, match="unknown column taxon"):
        resolved([{}], overrides=tmp_path / "other.csv")
    with pytest.raises(InputError, match=r"nowhere\.csv: missing"):
        resolved([{}], overrides=tmp_path / "nowhere.csv")


def test_an_explanation_shows_the_candidates_and_the_choice(
    backbone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = Path(__file__).parents[2] / "config" / "config.yaml"
    explain(name="Laelia rosea", kingdom="Plantae", config=config, backbones={"test": backbone})
    said = capsys.readouterr().out
    assert says(said, "chosen by rank_context", "rejected", "kingdom")
    assert "ranks agreeing: kingdom; differing: none" in said
    assert said.index("Orchidaceae") < said.index("Erebidae")
    assert "answer: Plantae Tracheophyta Liliopsida Asparagales Orchidaceae Laelia rosea" in said
    explain(name="Laelia rosea", kingdom="Plantae", config=config, backbones={"test": backbone}, json_lines=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["label"]["kingdom"], told["answer"]["strategy"]) == ("Plantae", "rank_context")
    assert (told["answer"]["family"], told["answer"]["reason"]) == ("Orchidaceae", None)
    explain(name="Agathis montana", family="Braconidae", config=config, backbones={"test": backbone})
    assert "ranks agreeing: kingdom, family, and by implication phylum, class, order" in capsys.readouterr().out
    explain(name="Quercus albxyz", config=config, backbones={"test": backbone})
    assert says(capsys.readouterr().out, "Quercus alba", "letters that differ: 3")
    explain(name="'; DROP TABLE given; --", config=config, backbones={"test": backbone})
    assert "answer: unresolved" in capsys.readouterr().out
