"""Names as people write them, against a backbone of gnparser's (MIT) canonical forms."""

import csv
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Resolved = Callable[..., list[dict[str, Any]]]
Backbones = Callable[..., tuple[Path, dict[str, Any]]]

MIN_RIGHT = 0.97
RANKS = {"1": "genus", "2": "species"}


@pytest.fixture(scope="module")
def names() -> list[dict[str, str]]:
    folder = os.environ.get("TREEOFLIFE_REAL_DATA")
    if not folder:
        pytest.skip("TREEOFLIFE_REAL_DATA names no folder with real/names/gnparser.tsv")
    with (Path(folder) / "real/names/gnparser.tsv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


@pytest.fixture(scope="module")
def answers(resolved: Resolved, make_backbone: Backbones, names: list[dict[str, str]]) -> list[dict[str, Any]]:
    rows = {
        name["canonical_simple"]: {
            "taxonID": name["canonical_simple"],
            "scientificName": name["canonical_simple"],
            "taxonRank": RANKS.get(name["cardinality"], "subspecies"),
            "taxonomicStatus": "accepted",
        }
        for name in names
        if name["cardinality"] != "0"
    }
    return resolved(
        [{"scientific_name": name["verbatim"]} for name in names],
        backbones={"test": make_backbone([*rows.values()])[0]},
    )


def test_names_of_two_or_more_parts_are_found(names: list[dict[str, str]], answers: list[dict[str, Any]]) -> None:
    asked = [pair for pair in zip(names, answers, strict=True) if int(pair[0]["cardinality"]) >= 2]
    lost = [
        (name["verbatim"], name["canonical_simple"], answer["taxon_id"])
        for name, answer in asked
        if answer["match_type"] != "exact" or answer["taxon_id"] != f"test:{name['canonical_simple']}"
    ]
    print(f"\n{len(asked)} names, {len(lost)} not found")
    for line in lost:
        print("  ", *line, sep=" | ")
    assert len(lost) <= (1 - MIN_RIGHT) * len(asked)


def test_no_name_becomes_another_species(names: list[dict[str, str]], answers: list[dict[str, Any]]) -> None:
    for name, answer in zip(names, answers, strict=True):
        species = f"{answer['genus']} {answer['species']}"
        if answer["species"] is not None and name["cardinality"] != "0":
            # gnparser gives the genus of a sentence that begins with a species.
            assert f"{name['canonical_simple']} ".startswith(f"{species} ") or species in name["verbatim"], answer
        # Viruses, hybrid formulae and texts that are not names, besides an underscore and a doubted subspecies.
        elif answer["species"] is not None:
            assert species.replace(" ", "_") in name["verbatim"] or " spp. " in name["verbatim"], answer
