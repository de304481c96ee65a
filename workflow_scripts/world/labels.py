"""Provider labels, with the errors of real data that a name resolver must handle."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from workflow_scripts.contracts import RANKS
from workflow_scripts.world.table import Species

Label = dict[str, str | None]
"""A provider's label: the seven ranks, scientific_name and common; None if missing."""

KINGDOM_NAMES = {"Animalia": ("Metazoa",), "Plantae": ("Viridiplantae", "Archaeplastida", "Chloroplastida")}


def plain_label(species: Species) -> Label:
    """The correct label of a species."""
    ranks: Label = {rank: name or None for rank, name in zip(RANKS, species.ranks, strict=True)}
    return ranks | {"scientific_name": species.binomial, "common": species.common_name or None}


def _other_kingdom(species: Species, random: np.random.Generator) -> Label | None:
    names = KINGDOM_NAMES.get(species.ranks[0])
    return plain_label(species) | {"kingdom": str(random.choice(names))} if names else None


def _missing_inner_ranks(species: Species, random: np.random.Generator) -> Label:
    inner = RANKS[1:-2]
    missing = random.choice(inner, size=int(random.integers(1, len(inner) + 1)), replace=False)
    return plain_label(species) | dict.fromkeys(map(str, missing))


def _binomial_alone(species: Species, random: np.random.Generator) -> Label:
    return _blank_label() | {"species": species.binomial}


def _genus_repeated(species: Species, random: np.random.Generator) -> Label:
    return plain_label(species) | {"species": species.binomial}


def _authorship(species: Species, random: np.random.Generator) -> Label | None:
    if not species.authorship:
        return None
    name = f"{species.binomial} {species.authorship}"
    return plain_label(species) | {"species": name, "scientific_name": name}


def _html(species: Species, random: np.random.Generator) -> Label:
    name = f"<i>{species.binomial}</i>"
    return plain_label(species) | {"species": name, "scientific_name": name}


def _upper_case(species: Species, random: np.random.Generator) -> Label:
    return {name: value and value.upper() for name, value in plain_label(species).items()}


def _subspecies(species: Species, random: np.random.Generator) -> Label:
    between = " subsp." if species.ranks[0] in ("Plantae", "Fungi") else ""
    name = f"{species.binomial}{between} {species.epithet}"
    return plain_label(species) | {"species": name, "scientific_name": name}


def _synonym(species: Species, random: np.random.Generator) -> Label | None:
    if not species.synonyms:
        return None
    name = str(random.choice(species.synonyms))
    genus, _, epithet = name.partition(" ")
    return plain_label(species) | {"genus": genus, "species": epithet, "scientific_name": name}


def _misspelt(species: Species, random: np.random.Generator) -> Label | None:
    if len(species.epithet) < 7:
        return None
    place = int(random.integers(2, len(species.epithet) - 2))
    epithet = species.epithet[:place] + species.epithet[place] + species.epithet[place:]
    return plain_label(species) | {"species": epithet, "scientific_name": f"{species.genus} {epithet}"}


def _confer(species: Species, random: np.random.Generator) -> Label:
    return plain_label(species) | {
        "species": f"cf. {species.epithet}",
        "scientific_name": f"{species.genus} cf. {species.epithet}",
    }


def _genus_only(species: Species, random: np.random.Generator) -> Label:
    return plain_label(species) | {"species": "sp.", "scientific_name": f"{species.genus} sp.", "common": None}


def _family_only(species: Species, random: np.random.Generator) -> Label:
    nameless = dict.fromkeys(("genus", "species", "common"))
    return plain_label(species) | nameless | {"scientific_name": species.ranks[4] or None}


def _unidentified(species: Species, random: np.random.Generator) -> Label:
    family, genus, name = (
        str(random.choice(("unknown", "incertae sedis", "(unidentified)", "unidentified"))) for _ in range(3)
    )
    return plain_label(species) | {
        "family": family,
        "genus": genus,
        "species": name,
        "scientific_name": None,
        "common": None,
    }


def _no_such_species(species: Species, random: np.random.Generator) -> Label:
    name = f"Incognita {'abcdefgh'[int(random.integers(8))]}nonyma"
    return _blank_label() | {"species": name, "scientific_name": name}


def _empty(species: Species, random: np.random.Generator) -> Label:
    return _blank_label()


def _blank_label() -> Label:
    return dict.fromkeys((*RANKS, "scientific_name", "common"))


@dataclass(frozen=True)
class Trouble:
    """A kind of label error.

    Attributes:
        name: name of the error.
        share: share of the occurrences with this error.
        write: returns the wrong label, or None if the error cannot occur for the species.
        names_species: whether the label still identifies the species.
    """

    name: str
    share: float
    write: Callable[[Species, np.random.Generator], Label | None]
    names_species: bool = True


TROUBLES = (
    Trouble("other_kingdom", 0.02, _other_kingdom),
    Trouble("missing_inner_ranks", 0.02, _missing_inner_ranks),
    Trouble("binomial_alone", 0.015, _binomial_alone),
    Trouble("genus_repeated", 0.015, _genus_repeated),
    Trouble("authorship", 0.015, _authorship),
    Trouble("html", 0.005, _html),
    Trouble("upper_case", 0.005, _upper_case),
    Trouble("subspecies", 0.01, _subspecies),
    Trouble("synonym", 0.025, _synonym),
    Trouble("misspelt", 0.005, _misspelt),
    Trouble("compared", 0.004, _confer, names_species=False),
    Trouble("genus_only", 0.004, _genus_only, names_species=False),
    Trouble("family_only", 0.003, _family_only, names_species=False),
    Trouble("unidentified", 0.003, _unidentified, names_species=False),
    Trouble("no_such_species", 0.002, _no_such_species, names_species=False),
    Trouble("empty", 0.002, _empty, names_species=False),
)
"""Label errors known from TaxonoPy and from issues of GBIF's matcher; they affect about 15 % of the labels."""
