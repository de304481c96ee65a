"""Kinds of names in real labels, each with its expected answer: one backbone, one resolution."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workflow_scripts.taxonomy.explain import explain

Resolved = Callable[..., list[dict[str, Any]]]
Backbones = Callable[..., tuple[Path, dict[str, Any]]]

FAMILIES = {
    "Testidae": "Animalia",
    "Altidae": "Animalia",
    "Culicidae": "Animalia",
    "Brachidae": "Animalia",
    "Viridaceae": "Plantae",
    "Albaceae": "Plantae",
}
SPECIES = """
Testidae Tethea or (Denis & Schiffermüller, 1775)
Testidae Tethea ocularis (Linnaeus, 1767)
Testidae Zodarion van Bosmans, 2009
Testidae Crisia romanica Author
Viridaceae Tragacantha leporina Kuntze
Testidae Aeschopalaea grisella Pascoe, 1864
Testidae Musca domestica Linnaeus, 1758
Testidae Trophon dorbignyi Carcelles, 1946
Viridaceae Capsella bursa-pastoris (L.) Medik.
Testidae Acrosoma duodecimspinosa Keyserling, 1892
Viridaceae Cibotium st-johnii Krajina
Testidae Choriozopella traegaordhi Lawrence, 1947
Testidae Larus muelleri Bruch, 1853
Testidae Larus mulleri Smith, 1900
Viridaceae Weissia muelleri Schimp.
Testidae Simia nasuus Kerr, 1792
Testidae Anopheles funestus Giles, 1900
Testidae Bosmina coregoni Baird, 1857
Testidae Bosmina longispina Leydig, 1860
Viridaceae Cytisus purpureus Scop.
Viridaceae Heucherella tiarelloides Wehrh.
Viridaceae Mentha piperita L.
Viridaceae Fragaria ananassa Duchesne
Culicidae Aedes aegypti (Linnaeus, 1762)
Testidae Navicula bacterium Frenguelli
Testidae Passer montanus (Linnaeus, 1758)
Testidae Puma concolor (Linnaeus, 1771)
Viridaceae Agalinis purpurea (L.) Pennell
Viridaceae Agalinis paupercula (A.Gray) Britton
Albaceae Aureolaria purpurea Raf.
Viridaceae Rosa canina L.
Viridaceae Rosa gallica L.
Testidae Papilio machaon Linnaeus, 1758
Altidae Oeneis polixenes (Fabricius, 1775)
Brachidae Acrossus rufipes (Linnaeus, 1758)
Viridaceae Hordeum marinum Huds.
Viridaceae Draba linifolia Author
Viridaceae Tozzia pinifolia Author
Viridaceae Acalypha splendissima Author
"""
# A synonym: the accepted name, and its rank if it is not a species.
SYNONYMS = {
    "Gerardia purpurea L.": ("Agalinis purpurea", "species"),
    "Gerardia purpurea Bert.": ("Agalinis paupercula", "species"),
    "Gerardia purpurea Sessé & Moc.": ("Aureolaria purpurea", "species"),
    "Gerardia aspera Benth.": ("Agalinis purpurea", "species"),
    "Gerardia aspera Small, 1903": ("Agalinis paupercula", "species"),
    "Rosa canina subsp. dumetorum": ("Rosa canina", "subspecies"),
    "Rosa canina var. dumetorum": ("Rosa gallica", "variety"),
    "Papilio polixenes Fabricius, 1775": ("Oeneis polixenes", "species"),
}
OTHERS = [
    # Homonymous genera of two kingdoms; a genus with the name of a kingdom, and one that is also an epithet.
    ("Gerardia Pic, 1954", "genus", "Brachidae", ""),
    ("Gerardia Benth.", "genus", "", "Agalinis"),
    ("Plantae", "genus", "Viridaceae", ""),
    ("Rufipes", "genus", "Altidae", ""),
    ("Bacteria Berthold, 1827", "genus", "Testidae", ""),
    ("Viruses", "kingdom", "", ""),
    ("Tobacco mosaic virus", "species", "kingdom Viruses", ""),
    ("Rosa aliena", "section", "Rosa", ""),
]


def taxon(key: str, name: str, rank: str, parent: str = "", accepted: str = "") -> dict[str, str]:
    """A row of Taxon.tsv."""
    row = {"taxonID": key, "parentNameUsageID": parent, "acceptedNameUsageID": accepted, "scientificName": name}
    return row | {"taxonRank": rank, "taxonomicStatus": "synonym" if accepted else "accepted"}


@pytest.fixture(scope="module")
def kinds(make_backbone: Backbones) -> Path:
    """The names above, built; a taxon's id is its name without the author."""
    rows = {kingdom: taxon(kingdom, kingdom, "kingdom") for kingdom in ("Animalia", "Plantae", "Bacteria")}
    rows |= {family: taxon(family, family, "family", kingdom) for family, kingdom in FAMILIES.items()}
    for line in SPECIES.strip().splitlines():
        family, genus, epithet, author = line.split(" ", 3)
        rows.setdefault(genus, taxon(genus, genus, "genus", family))
        name = f"{genus} {epithet}"
        rows[name] = taxon(name, f"{name} {author}", "species", genus)
    for name, (accepted, rank) in SYNONYMS.items():
        rows[name] = taxon(name, name, rank, "", accepted)
    for name, rank, parent, accepted in OTHERS:
        rows[f"{rank} {name}"] = taxon(f"{rank} {name}", name, rank, parent, accepted)
    return make_backbone(list(rows.values()))[0]


SPECIES_CASES = [
    # Epithets that look like words of authors or of remarks.
    ({"scientific_name": "Tethea or (Denis & Schiffermüller, 1775)"}, "Tethea or"),
    ({"genus": "Tethea", "species": "or"}, "Tethea or"),
    ({"scientific_name": "Zodarion van Bosmans, 2009"}, "Zodarion van"),
    # A question mark in the author does not put the name in doubt.
    ({"scientific_name": "Tragacantha leporina (?) Kuntze"}, "Tragacantha leporina"),
    ({"scientific_name": "Crisia romanica Zágor?ek, 198?"}, "Crisia romanica"),
    # One key for two spellings.
    ({"scientific_name": "Æschopalæa grisella"}, "Aeschopalaea grisella"),
    ({"scientific_name": "Musca domeſtica Linnaeus 1758"}, "Musca domestica"),
    ({"scientific_name": "Trophon d’orbignyi Carcelles"}, "Trophon dorbignyi"),
    ({"scientific_name": "Capsella bursapastoris"}, "Capsella bursa-pastoris"),
    ({"scientific_name": "Acrosoma 12-spinosa Keyserling, 1892"}, "Acrosoma duodecimspinosa"),
    ({"genus": "Acrosoma", "species": "12-spinosa"}, "Acrosoma duodecimspinosa"),
    ({"scientific_name": "Cibotium st.-johnii Krajina"}, "Cibotium st-johnii"),
    ({"scientific_name": "Choriozopella trägårdhi"}, "Choriozopella traegaordhi"),
    ({"scientific_name": "Weissia mülleri"}, "Weissia muelleri"),
    ({"scientific_name": "Larus muelleri"}, "Larus muelleri"),
    ({"scientific_name": "Larus mulleri"}, "Larus mulleri"),
    # Subgenera and brackets.
    ({"scientific_name": "Simia (Cercop.) nasuus Kerr 1792"}, "Simia nasuus"),
    ({"scientific_name": "Simia (C.) nasuus"}, "Simia nasuus"),
    ({"scientific_name": "Anopheles [Cellia] funestus"}, "Anopheles funestus"),
    ({"scientific_name": "Anopheles (cellia) funestus"}, "Anopheles funestus"),
    ({"scientific_name": "Anopheles subgen. Cellia funestus Giles"}, "Anopheles funestus"),
    ({"scientific_name": "Anopheles funestus(Giles)"}, "Anopheles funestus"),
    ({"scientific_name": "[Anopheles] funestus Giles, 1900"}, "Anopheles funestus"),
    # Hybrids with a name of their own.
    ({"scientific_name": "xHeucherella tiarelloides"}, "Heucherella tiarelloides"),
    ({"scientific_name": "Mentha xpiperita"}, "Mentha piperita"),
    ({"scientific_name": "Fragaria xananassa"}, "Fragaria ananassa"),
    ({"scientific_name": "Navicula bacterium Frenguelli"}, "Navicula bacterium"),
    # Title Case.
    ({"scientific_name": "Passer Montanus"}, "Passer montanus"),
    ({"species": "Puma_Concolor"}, "Puma concolor"),
    # The author decides among homonyms of a kingdom, in any spelling.
    ({"scientific_name": "Gerardia purpurea L."}, "Agalinis purpurea"),
    ({"scientific_name": "Gerardia purpurea Linnaeus, 1753"}, "Agalinis purpurea"),
    ({"scientific_name": "Gerardia purpurea [Bert.]"}, "Agalinis paupercula"),
    ({"species": "Gerardia purpurea", "scientific_name": "Gerardia purpurea Sessé ex Mill."}, "Aureolaria purpurea"),
    ({"scientific_name": "Gerardia purpurea SESSÉ & MOC."}, "Aureolaria purpurea"),
    # So does the infraspecific rank.
    ({"scientific_name": "Rosa canina subsp. dumetorum"}, "Rosa canina"),
    ({"scientific_name": "Rosa canina var. dumetorum (Thuill.) Desv."}, "Rosa gallica"),
    # A misspelling that is not a word.
    ({"scientific_name": "Hordeum marrinum"}, "Hordeum marinum"),
    ({"scientific_name": "Acalypha splendisima"}, "Acalypha splendissima"),
]
OTHER_CASES = [
    # The name of a higher taxon, or the reason for none.
    ({"scientific_name": "Aedes de Meigen, 1818"}, "Aedes"),
    ({"scientific_name": "Larus ?muelleri"}, "Larus"),
    # Either of two species.
    ({"scientific_name": "Larus mülleri"}, "Larus"),
    ({"scientific_name": "Gerardia aspera"}, "Agalinis"),
    # In genera of two families nothing is certain.
    ({"scientific_name": "Gerardia purpurea"}, "ambiguous"),
    ({"scientific_name": "Bosmina (Eubosmina) coregoni x B. (E.) longispina"}, "Bosmina"),
    ({"scientific_name": "Cytisus purpureus + Laburnum anagyroides"}, "Cytisus"),
    # An organism that is named after its host is not the host.
    ({"scientific_name": "Aedes aegypti densovirus", "genus": "Aedes"}, "not_found"),
    ({"scientific_name": "Aedes aegypti NPV"}, "not_found"),
    ({"scientific_name": "Aedes aegypti endosymbiont"}, "not_found"),
    ({"scientific_name": "Puma concolor expression vector"}, "not_found"),
    # A sibling is not a misspelling, and no guess leaves the family or genus.
    ({"scientific_name": "Draba pinifolia"}, "Draba"),
    ({"scientific_name": "Papilio polyxenes", "family": "Testidae"}, "Papilio"),
    ({"scientific_name": "Papilio polyxenes"}, "Papilio"),
    # Another author's name.
    ({"scientific_name": "Acalypha splendisima Miller"}, "Acalypha"),
    # Status does not decide between kingdoms.
    ({"scientific_name": "Gerardia sp."}, "ambiguous"),
    ({"scientific_name": "Gerardia sp.", "kingdom": "Plantae"}, "Agalinis"),
    # A kingdom's name is not a genus of that kingdom, and a lower-case epithet is not a genus.
    ({"scientific_name": "Plantae", "kingdom": "Plantae"}, "Plantae"),
    ({"genus": "Plantae", "kingdom": "Plantae"}, "Plantae"),
    ({"genus": "Bacteria", "kingdom": "Animalia"}, "Bacteria"),
    ({"scientific_name": "rufipes"}, "no_name"),
]


@pytest.fixture(scope="module")
def answers(resolved: Resolved, kinds: Path) -> list[dict[str, Any]]:
    return resolved([label for label, _ in [*SPECIES_CASES, *OTHER_CASES]], backbones={"test": kinds})


@pytest.mark.parametrize("place", range(len(SPECIES_CASES)), ids=lambda place: str(SPECIES_CASES[place][0]))
def test_a_kind_of_name_gets_its_species(answers: list[dict[str, Any]], place: int) -> None:
    answer = answers[place]
    found = f"{answer['genus']} {answer['species']}" if answer["species"] else str(answer)
    assert found.replace("-", "") == SPECIES_CASES[place][1].replace("-", "")


@pytest.mark.parametrize("place", range(len(OTHER_CASES)), ids=lambda place: str(OTHER_CASES[place][0]))
def test_a_kind_of_name_gets_no_species(answers: list[dict[str, Any]], place: int) -> None:
    answer = answers[len(SPECIES_CASES) + place]
    assert answer["species"] is None
    assert (answer["reason"] or answer["scientific_name"]) == OTHER_CASES[place][1], answer


def test_a_doubtful_name_is_trusted_less_and_reported(resolved: Resolved, kinds: Path) -> None:
    certain, doubted = resolved(
        [{"scientific_name": "Larus muelleri"}, {"scientific_name": "?Larus muelleri"}], backbones={"test": kinds}
    )
    assert certain["accepted_id"] == doubted["accepted_id"]
    assert doubted["confidence"] <= certain["confidence"] - 0.1
    assert "question mark" in doubted["detail"]
    assert "question mark" not in certain["detail"]


def test_the_strategy_names_each_way_to_an_answer(resolved: Resolved, kinds: Path) -> None:
    labels = [
        {"scientific_name": "Passer Montanus"},
        {"scientific_name": "Gerardia purpurea L."},
        {"scientific_name": "Gerardia purpurea L.", "kingdom": "Plantae"},
        {"scientific_name": "Tobacco mosaic virus"},
    ]
    titled, authored, placed, virus = resolved(labels, backbones={"test": kinds})
    assert titled["strategy"] == "title_case"
    assert authored["strategy"] == placed["strategy"] == "author"
    assert (virus["accepted_id"], virus["kingdom"]) == ("test:species Tobacco mosaic virus", "Viruses")
    without = resolved(labels[:2], backbones={"test": kinds}, strategies=["exact", "synonym", "rank_context"])
    assert [answer["reason"] for answer in without] == ["not_found", "ambiguous"]


def test_two_letters_need_a_family_or_an_author(resolved: Resolved, kinds: Path) -> None:
    labels = [
        {"scientific_name": "Acalypha splenddisima"},
        {"scientific_name": "Acalypha splenddisima", "family": "Viridaceae"},
        {"scientific_name": "Acalypha splenddisima", "family": "Albaceae"},
    ]
    alone, supported, contradicted = resolved(labels, backbones={"test": kinds})
    assert (alone["species"], contradicted["species"]) == (None, None)
    assert (supported["species"], supported["strategy"]) == ("splendissima", "fuzzy_supported")
    (once,) = resolved([{"scientific_name": "Acalypha splendisima"}], backbones={"test": kinds})
    assert supported["confidence"] < once["confidence"]


def test_a_name_that_is_not_a_species_is_reported(
    resolved: Resolved, kinds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (answer,) = resolved([{"scientific_name": "Rosa aliena"}], backbones={"test": kinds})
    assert answer["scientific_name"] == "Rosa"
    assert "Rosa aliena is in the backbone as a name of the rank section" in answer["detail"]
    config = Path(__file__).parents[2] / "config" / "config.yaml"
    explain(name="Rosa aliena", config=config, backbones={"test": kinds})
    assert "is in the backbone as a name of the rank section" in capsys.readouterr().out
