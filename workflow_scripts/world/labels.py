"""Labels as providers write them, with the errors that name resolvers meet in real data."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from workflow_scripts.contracts import RANKS
from workflow_scripts.world.table import Species

Label = dict[str, str | None]
"""A provider's label: the seven ranks, scientific_name and common; None where nothing was written."""

KINGDOM_NAMES = {"Animalia": ("Metazoa",), "Plantae": ("Viridiplantae", "Archaeplastida", "Chloroplastida")}


def plain_label(species: Species) -> Label:
    """The label without any trouble."""
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
    return _nothing() | {"species": species.binomial}


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


def _compared(species: Species, random: np.random.Generator) -> Label:
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


def _no_species_of_that_name(species: Species, random: np.random.Generator) -> Label:
    name = f"Incognita {'abcdefgh'[int(random.integers(8))]}nonyma"
    return _nothing() | {"species": name, "scientific_name": name}


def _empty(species: Species, random: np.random.Generator) -> Label:
    return _nothing()


def _nothing() -> Label:
    return dict.fromkeys((*RANKS, "scientific_name", "common"))


@dataclass(frozen=True)
class Trouble:
    """A way in which labels go wrong.

    Attributes:
        name: what it is.
        share: share of the occurrences that have it.
        write: the label, or None where the trouble cannot befall the species.
        names_species: whether the label still says which species it is.
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
    Trouble("compared", 0.004, _compared, names_species=False),
    Trouble("genus_only", 0.004, _genus_only, names_species=False),
    Trouble("family_only", 0.003, _family_only, names_species=False),
    Trouble("unidentified", 0.003, _unidentified, names_species=False),
    Trouble("no_such_species", 0.002, _no_species_of_that_name, names_species=False),
    Trouble("empty", 0.002, _empty, names_species=False),
)
"""What a resolver meets (TaxonoPy; issues of GBIF's matcher): about 15 % of the labels."""
