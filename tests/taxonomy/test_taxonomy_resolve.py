"""The answer for each kind of label."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workflow_scripts.common.errors import InputError
from workflow_scripts.contracts import RANKS

Resolved = Callable[..., list[dict[str, Any]]]

MOTH = "Animalia Arthropoda Insecta Lepidoptera Erebidae Laelia rosea"
ORCHID = "Plantae Tracheophyta Liliopsida Asparagales Orchidaceae Laelia rosea"
WASP = "Animalia Arthropoda Insecta Hymenoptera Braconidae Agathis montana"
CONIFER = "Plantae Tracheophyta Pinopsida Pinales Araucariaceae Agathis montana"
STARFISH = "Animalia Echinodermata Asteroidea Valvatida Asterinidae Asterina gibbosa"
FUNGUS = "Fungi Ascomycota Dothideomycetes Asterinales Asterinaceae Asterina gibbosa"
OAK = "Plantae Tracheophyta Magnoliopsida Fagales Fagaceae Quercus alba"
QUERCUS = "Plantae Tracheophyta Magnoliopsida Fagales Fagaceae Quercus"
MAN = "Animalia Chordata Mammalia Primates Hominidae Homo sapiens"
BEE = "Animalia Arthropoda Insecta Hymenoptera Apidae Apis mellifera"
TIT = "Animalia Chordata Aves Passeriformes Paridae Cyanistes caeruleus"
AGARIC = "Fungi Basidiomycota Agaricomycetes Agaricales Amanitaceae Amanita muscaria"
BOLETE = "Fungi Basidiomycota Agaricomycetes Boletales Boletaceae Boletus edulis"
MINT = "Plantae Tracheophyta Magnoliopsida Lamiales Lamiaceae Mentha piperita"
WOLF = "Animalia Chordata Mammalia Carnivora Canidae Canis lupus"
BISON = "Animalia Chordata Mammalia Artiodactyla Bovidae Bison bison"

GOLD: list[tuple[dict[str, str], str, str]] = [
    # TaxonoPy's examples, with its answers against GBIF.
    (
        {"kingdom": "Metazoa", "phylum": "Chordata", "genus": "Homo", "species": "Homo sapiens"},
        "exact",
        MAN,
    ),
    ({"kingdom": "Plantae", "order": "Fagales", "genus": "Quercus", "species": "Quercus alba"}, "exact", OAK),
    ({"kingdom": "Animalia", "order": "Hymenoptera", "genus": "Apis", "species": "Apis mellifera"}, "exact", BEE),
    ({"species": "Laelia rosea", "kingdom": "Animalia"}, "rank_context", MOTH),
    ({"species": "Laelia rosea", "kingdom": "Plantae"}, "rank_context", ORCHID),
    # Kingdoms under other names.
    *(
        ({"kingdom": kingdom, "species": "Quercus alba"}, "exact", OAK)
        for kingdom in ("Viridiplantae", "Archaeplastida", "Chloroplastida", "plantae", "PLANTAE")
    ),
    ({"kingdom": "Viridiplantae", "species": "Agathis montana"}, "rank_context", CONIFER),
    ({"kingdom": "Metazoa", "species": "Agathis montana"}, "rank_context", WASP),
    ({"kingdom": "Metazoa", "species": "Asterina gibbosa"}, "rank_context", STARFISH),
    # Homonyms distinguished by other ranks than the kingdom.
    ({"phylum": "Ascomycota", "species": "Asterina gibbosa"}, "rank_context", FUNGUS),
    ({"family": "Braconidae", "genus": "Agathis", "species": "montana"}, "rank_context", WASP),
    ({"class": "Pinopsida", "genus": "Agathis", "species": "montana"}, "rank_context", CONIFER),
    (
        {"kingdom": "Animalia", "order": "Coleoptera", "species": "Agonum ambiguum"},
        "rank_context",
        "Animalia Arthropoda Insecta Coleoptera Carabidae Agonum ambiguum",
    ),
    # Homonyms that nothing distinguishes.
    ({"species": "Laelia rosea"}, "ambiguous", ""),
    ({"kingdom": "unknown", "species": "Agathis montana"}, "ambiguous", ""),
    ({"kingdom": "Animalia", "class": "Insecta", "species": "Agonum ambiguum"}, "ambiguous", ""),
    # Synonyms, by chains and to another genus.
    ({"kingdom": "Animalia", "genus": "Parus", "species": "caeruleus"}, "synonym", TIT),
    ({"kingdom": "Plantae", "species": "Quercus candida"}, "synonym", OAK),
    ({"species": "Quercus nivea Raf."}, "synonym", OAK),
    # Misused columns.
    ({"species": "Quercus alba"}, "exact", OAK),
    ({"scientific_name": "Quercus alba L."}, "exact", OAK),
    ({"genus": "Quercus", "species": "alba"}, "exact", OAK),
    ({"genus": "Quercus", "species": "Alba"}, "exact", OAK),
    ({"genus": "Quercus", "species": "Q. alba"}, "exact", OAK),
    ({"genus": "Quercus", "species": "Quercus Quercus alba"}, "exact", OAK),
    ({"genus": "quercus", "species": "quercus alba"}, "exact", OAK),
    ({"genus": "QUERCUS", "species": "QUERCUS ALBA"}, "exact", OAK),
    ({"genus": "Bison", "species": "bison"}, "exact", BISON),
    ({"species": "Bison bison"}, "exact", BISON),
    ({"kingdom": "Plantae", "genus": "Quercus alba"}, "hidden_binomial", OAK),
    ({"family": "Parus caeruleus Linnaeus, 1758"}, "hidden_binomial", TIT),
    # Authorship, mark-up, hybrids, subspecies.
    ({"species": "Apis mellifera Linnaeus, 1758"}, "exact", BEE),
    ({"species": "<i>Apis</i> mellifera"}, "exact", BEE),
    ({"species": "Apis_mellifera"}, "exact", BEE),
    ({"species": "Apis (Apis) mellifera"}, "exact", BEE),
    ({"species": "Mentha × piperita L."}, "exact", MINT),
    ({"species": "Mentha x piperita"}, "exact", MINT),
    ({"genus": "Mentha", "species": "×piperita"}, "exact", MINT),
    ({"species": "Canis lupus familiaris"}, "exact", WOLF),
    ({"species": "Canis lupus subsp. arctos Pocock, 1935"}, "exact", WOLF),
    # The genus of a doubted name is certain.
    ({"species": "Quercus sp."}, "higher_rank", QUERCUS),
    ({"genus": "Quercus", "species": "sp."}, "higher_rank", QUERCUS),
    ({"species": "Quercus cf. alba"}, "higher_rank", QUERCUS),
    ({"species": "Quercus aff. alba"}, "higher_rank", QUERCUS),
    ({"species": "Quercus alba × robur"}, "higher_rank", QUERCUS),
    ({"genus": "Quercus", "species": "unknown"}, "higher_rank", QUERCUS),
    # Unknown species with known higher ranks.
    ({"species": "Quercus novissima"}, "higher_rank", QUERCUS),
    (
        {"kingdom": "Plantae", "family": "Fagaceae", "genus": "incertae sedis"},
        "higher_rank",
        QUERCUS.removesuffix(" Quercus"),
    ),
    ({"scientific_name": "Fagaceae"}, "higher_rank", QUERCUS.removesuffix(" Quercus")),
    ({"class": "Aves", "order": "(unidentified)"}, "higher_rank", "Animalia Chordata Aves"),
    ({"kingdom": "Metazoa"}, "higher_rank", "Animalia"),
    ({"kingdom": "Plantae", "genus": "Agathis", "species": "nova"}, "higher_rank", CONIFER.removesuffix(" montana")),
    ({"genus": "Agathis", "species": "nova"}, "ambiguous", ""),
    (
        {"kingdom": "Plantae", "family": "Fagaceae", "genus": "Apis", "species": "nova"},
        "higher_rank",
        QUERCUS.removesuffix(" Quercus"),
    ),
    # Names from a kingdom that the label excludes.
    ({"kingdom": "Plantae", "species": "Apis mellifera"}, "conflict", ""),
    ({"phylum": "Chordata", "species": "Quercus alba"}, "conflict", ""),
    ({"kingdom": "Plantae", "genus": "Apis"}, "conflict", ""),
    ({"class": "Aves", "order": "Passeriformes", "species": "Apis mellifera"}, "conflict", ""),
    # No name, or an unknown one.
    ({}, "no_name", ""),
    ({"kingdom": "unknown", "species": "(unidentified)", "genus": "incertae sedis"}, "no_name", ""),
    ({"species": "Nomen nescio"}, "not_found", ""),
    ({"species": "Amanita muscaria"}, "exact", AGARIC),
    # An accepted name comes before a synonym of the same spelling, but only within a kingdom.
    ({"kingdom": "Fungi", "species": "Boletus edulis"}, "rank_context", BOLETE),
    ({"species": "Boletus edulis"}, "ambiguous", ""),
]


def ranks_of(answer: dict[str, Any]) -> str:
    """An answer's ranks in one line."""
    return " ".join(answer[rank] for rank in RANKS if answer[rank])


@pytest.fixture(scope="module")
def gold(resolved: Resolved) -> list[dict[str, Any]]:
    """The answers to the gold labels, from one run."""
    return resolved([label for label, *_ in GOLD])


@pytest.mark.parametrize("place", range(len(GOLD)), ids=lambda place: f"{place}: {GOLD[place][0]}")
def test_a_label_gets_its_taxon_by_its_strategy(gold: list[dict[str, Any]], place: int) -> None:
    _, outcome, ranks = GOLD[place]
    answer = gold[place]
    assert ranks_of(answer) == ranks
    assert (answer["strategy"] if ranks else answer["reason"]) == outcome


def test_an_answer_says_what_it_rests_on(gold: list[dict[str, Any]]) -> None:
    for answer in gold:
        if answer["reason"] is None:
            assert 0 < answer["confidence"] <= 1
            assert answer["taxon_id"].startswith("test:")
            assert answer["accepted_id"].startswith("test:")
            assert answer["resolved_rank"] == [rank for rank in RANKS if answer[rank]][-1]
        else:
            assert (answer["strategy"], answer["match_type"], answer["confidence"]) == ("unresolved", "none", 0)
            assert not ranks_of(answer)
            assert answer["common_name"] is answer["taxon_id"] is answer["scientific_name"] is None


def test_the_accepted_name_is_given_and_the_providers_words_stay(resolved: Resolved) -> None:
    label = {"kingdom": "Metazoa", "species": "Parus caeruleus Linnaeus, 1758", "common": "Pimpelmees"}
    (answer,) = resolved([label])
    assert (answer["scientific_name"], answer["species"]) == ("Cyanistes caeruleus", "caeruleus")
    assert (answer["match_type"], answer["taxon_id"]) == ("synonym", "test:Parus caeruleus Linnaeus, 1758")
    assert answer["accepted_id"].endswith("Cyanistes caeruleus")
    assert {key: answer[f"provider_{key}"] for key in label} == label


def test_common_names_follow_the_languages_and_fall_back_to_the_provider(resolved: Resolved) -> None:
    labels = [
        {"species": "Apis mellifera", "common": "a bee"},
        {"species": "Quercus alba", "common": "white  oak"},
        {"species": "Parus caeruleus"},
        {"family": "Fagaceae"},
        {"species": "Bison bison"},
    ]
    english = resolved(labels)
    assert [answer["common_name"] for answer in english] == ["honey bee", "white oak", "blue tit", "beech family", None]
    assert [answer["common_name_rank"] for answer in english] == ["species", None, "species", "family", None]
    german = resolved(labels, languages=["de", "en"])
    assert [answer["common_name"] for answer in german[:3]] == ["Honigbiene", "Weißeiche", "blue tit"]


def test_a_language_is_known_by_its_codes_its_name_and_its_regions(
    resolved: Resolved, make_backbone: Callable[..., tuple[Path, dict[str, Any]]]
) -> None:
    written = {"bus": "English", "cus": "eng", "dus": "en-GB", "eus": "German", "fus": "EN", "gus": "English (UK)"}
    taxa = [{"taxonID": key, "scientificName": f"Aus {key}", "taxonRank": "species"} for key in written]
    commons = [
        {"taxonID": key, "vernacularName": f"the {key}", "language": language} for key, language in written.items()
    ]
    commons += [{"taxonID": "fus", "vernacularName": "an English fus", "language": "English"}]
    backbones = {"test": make_backbone(taxa, commons)[0]}
    labels = [{"species": f"Aus {key}"} for key in written]
    english = [answer["common_name"] for answer in resolved(labels, backbones=backbones, languages=["en"])]
    assert english == ["the bus", "the cus", "the dus", None, "the fus", "the gus"]
    german = [answer["common_name"] for answer in resolved(labels, backbones=backbones, languages=["deu"])]
    assert german == [None, None, None, "the eus", None, None]


def test_a_common_name_comes_from_above_only_as_far_as_the_config_lets_it(resolved: Resolved) -> None:
    labels = [
        {"species": "Quercus robur"},
        {"species": "Quercus robur", "common": "English oak"},
        {"genus": "Quercus"},
        {"species": "Bison bison"},
        {"species": "Apis mellifera"},
    ]

    def names(**settings: Any) -> list[tuple[str | None, str | None]]:
        return [(answer["common_name"], answer["common_name_rank"]) for answer in resolved(labels, **settings)]

    own = [(None, None), ("English oak", None), (None, None), (None, None), ("honey bee", "species")]
    assert names() == names(common_names_up_to="genus") == own
    from_family = [("beech family", "family"), own[1], ("beech family", "family"), *own[3:]]
    assert names(common_names_up_to="family") == names(common_names_up_to="kingdom") == from_family
    assert names(common_names_up_to="family", languages=["de"])[0] == (None, None)


def test_an_answer_resolves_to_itself(gold: list[dict[str, Any]], resolved: Resolved) -> None:
    answers = [answer for answer in gold if answer["reason"] is None]
    again = resolved([{key: answer[key] for key in (*RANKS, "scientific_name")} for answer in answers])
    assert [ranks_of(answer) for answer in again] == [ranks_of(answer) for answer in answers]
    assert [answer["accepted_id"] for answer in again] == [answer["accepted_id"] for answer in answers]


def test_other_labels_other_rows_and_threads_change_no_byte(
    tmp_path: Path,
    resolved: Resolved,
    make_backbone: Callable[..., tuple[Path, dict[str, Any]]],
    rows: list[dict[str, str]],
    backbone: Path,
) -> None:
    labels = [{"label_id": f"{place:04d}"} | label for place, (label, *_) in enumerate(GOLD)]
    plain, _ = make_backbone(rows)
    shuffled, _ = make_backbone(rows[::-1])
    once, again = tmp_path / "once.parquet", tmp_path / "again.parquet"
    resolved(labels, backbones={"test": plain}, out=once)
    resolved(labels[::-1], backbones={"test": shuffled}, threads=2, out=again)
    assert once.read_bytes() == again.read_bytes()
    assert once.with_suffix(".json").read_bytes() == again.with_suffix(".json").read_bytes()


def test_an_unrelated_taxon_changes_no_answer(
    gold: list[dict[str, Any]],
    resolved: Resolved,
    make_backbone: Callable[..., tuple[Path, dict[str, Any]]],
    rows: list[dict[str, str]],
) -> None:
    more = {"taxonID": "new", "scientificName": "Zzyzxus novus", "taxonRank": "species", "taxonomicStatus": "accepted"}
    grown, _ = make_backbone([*rows, more])
    answers = resolved([label for label, *_ in GOLD], backbones={"test": grown})
    assert [(ranks_of(a), a["strategy"], a["reason"]) for a in answers] == [
        (ranks_of(a), a["strategy"], a["reason"]) for a in gold
    ]


def test_the_first_backbone_that_knows_the_name_decides(
    resolved: Resolved, backbone: Path, make_backbone: Callable[..., tuple[Path, dict[str, Any]]]
) -> None:
    names = [
        ("k", "", "Plantae", "kingdom"),
        ("g", "k", "Quercus", "genus"),
        ("s", "g", "Quercus novissima", "species"),
    ]
    names += [("l", "k", "Laelia rosea", "species"), ("a", "g", "Quercus alba", "species")]
    small, _ = make_backbone(
        [
            {"taxonID": key, "parentNameUsageID": parent, "scientificName": name, "taxonRank": rank}
            for key, parent, name, rank in names
        ],
        name="small",
    )
    labels = [{"species": name} for name in ("Quercus alba", "Quercus novissima", "Laelia rosea", "Quercus incognita")]
    answers = resolved(labels, backbones={"test": backbone, "small": small})
    # A species in the second backbone comes before a genus in the first. Names that are ambiguous in the first stay so.
    assert [ranks_of(answer) for answer in answers] == [OAK, "Plantae Quercus novissima", "", QUERCUS]
    assert [(answer["accepted_id"] or "-").split(":")[0] for answer in answers] == ["test", "small", "-", "test"]
    assert ranks_of(resolved(labels[:1], backbones={"small": small, "test": backbone})[0]) == "Plantae Quercus alba"


def test_only_the_strategies_of_the_config_count(resolved: Resolved) -> None:
    labels = [
        {"species": "Quercus candida"},
        {"genus": "Quercus alba"},
        {"species": "Laelia rosea", "kingdom": "Plantae"},
        {"species": "Quercus alba"},
    ]
    answers = resolved(labels, strategies=["exact"])
    assert [answer["reason"] for answer in answers] == ["not_found", "not_found", "ambiguous", None]


def test_labels_of_generations_are_counted_together(resolved: Resolved, tmp_path: Path) -> None:
    out = tmp_path / "resolved.parquet"
    labels: list[dict[str, Any]] = [
        {"species": "Quercus alba", "images": 5},
        {"species": "Laelia rosea", "images": 7},
        {"images": 2},
    ]
    resolved(labels, out=out)
    account = json.loads(out.with_suffix(".json").read_text())
    assert (account["unit"], account["rows_in"], account["kept"]) == ("labels", 3, 1)
    assert account["dropped"] == {"ambiguous": 1, "no_name": 1}
    assert account["notes"]["images by exact"] == 5
    assert account["notes"]["images by unresolved"] == 9


def test_an_invalid_backbone_is_named(resolved: Resolved, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.duckdb: missing"):
        resolved([{}], backbones={"test": tmp_path / "nowhere.duckdb"})
    (tmp_path / "text.duckdb").write_text("not a database")
    with pytest.raises(InputError, match=r"text\.duckdb: .*backbone"):
        resolved([{}], backbones={"test": tmp_path / "text.duckdb"})
