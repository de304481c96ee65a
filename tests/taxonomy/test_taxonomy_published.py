"""Published labels: TaxonoPy's example, and the four hundred species of the Rare Species benchmark."""

import csv
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workflow_scripts.contracts import RANKS

Resolved = Callable[..., list[dict[str, Any]]]

SAMPLE = [
    ("Metazoa Chordata Mammalia Primates Hominidae Homo|Homo sapiens|Homo sapiens"),
    ("Plantae Tracheophyta - Fagales Fagaceae Quercus|Quercus alba|Quercus alba"),
    ("Animalia - - Hymenoptera Apidae Apis|Apis mellifera|Apis mellifera"),
    ("- - - - - -|Amanita muscaria|"),
    ("Animalia - - - - -|Laelia rosea|"),
    ("Plantae - - - - -|Laelia rosea|"),
    ("- - - - - -||"),
]
"""TaxonoPy's example input (Imageomics/TaxonoPy, MIT licence): the six upper ranks, species, scientific name."""

RESOLVED = [
    "Animalia Chordata Mammalia Primates Hominidae Homo|Homo sapiens",
    "Plantae Tracheophyta Magnoliopsida Fagales Fagaceae Quercus|Quercus alba",
    "Animalia Arthropoda Insecta Hymenoptera Apidae Apis|Apis mellifera",
    "Fungi Basidiomycota Agaricomycetes Agaricales Amanitaceae Amanita|Amanita muscaria",
    "Animalia Arthropoda Insecta Lepidoptera Erebidae Laelia|Laelia rosea",
    "Plantae Tracheophyta Liliopsida Asparagales Orchidaceae Laelia|Laelia rosea",
]
"""What TaxonoPy makes of it against the GBIF Backbone; it omits the empty label."""


def sample_labels() -> list[dict[str, str]]:
    labels = []
    for line in SAMPLE:
        above, species, name = line.split("|")
        values = [*above.replace("-", "").split(" "), species, name]
        labels.append(
            {column: value for column, value in zip((*RANKS, "scientific_name"), values, strict=True) if value}
        )
    return labels


def test_the_example_of_taxonopy_gets_its_ranks(resolved: Resolved) -> None:
    *answers, empty = resolved(sample_labels())
    found = [
        f"{' '.join(answer[rank] for rank in RANKS[:-1])}|{answer['genus']} {answer['species']}" for answer in answers
    ]
    assert found == RESOLVED
    assert (empty["reason"], empty["kingdom"]) == ("no_name", None)


@pytest.fixture(scope="module")
def rare_species() -> list[dict[str, str]]:
    folder = os.environ.get("TREEOFLIFE_REAL_DATA")
    if not folder:
        pytest.skip("TREEOFLIFE_REAL_DATA names no folder with labels/rare_species.csv")
    with (Path(folder) / "labels/rare_species.csv").open(encoding="utf-8", newline="") as file:
        rows = [row | {"class": row["cls"]} for row in csv.DictReader(file)]
    found = {tuple(row[rank] for rank in RANKS): {rank: row[rank] for rank in RANKS} for row in rows}
    return list(found.values())


def test_the_rare_species_resolve_to_themselves_among_homonyms_and_synonyms(
    resolved: Resolved, make_backbone: Callable[..., tuple[Path, dict[str, Any]]], rare_species: list[dict[str, str]]
) -> None:
    rows: dict[str, dict[str, str]] = {}
    for place, label in enumerate(rare_species):
        parent = path = ""
        for rank in RANKS:
            if not label[rank]:
                continue
            parent, path = path, f"{path}/{label[rank]}"
            name = f"{label['genus']} {label['species']}" if rank == "species" else label[rank]
            rows[path] = {"taxonID": path, "parentNameUsageID": parent, "scientificName": name, "taxonRank": rank}
        # A synonym in another genus, and a namesake in another kingdom.
        binomial = f"{label['genus']} {label['species']}"
        other = rare_species[(place + 1) % len(rare_species)]["genus"]
        synonym = {"scientificName": f"{other} {label['species']} Author, 1900", "taxonRank": "species"}
        rows[f"synonym {place}"] = synonym | {"taxonID": f"synonym {place}", "acceptedNameUsageID": path}
        namesake = {"scientificName": binomial, "taxonRank": "species", "kingdom": "Chromista"}
        rows[f"namesake {place}"] = namesake | {"taxonID": f"namesake {place}"}
    backbone, _ = make_backbone([{"taxonomicStatus": "accepted"} | row for row in rows.values()], name="rare")
    answers = resolved(rare_species, backbones={"rare": backbone})
    assert len(answers) == 400
    wrong = [
        label
        for label, answer in zip(rare_species, answers, strict=True)
        if any((answer[rank] or "") != label[rank] for rank in RANKS)
    ]
    assert wrong == []
