"""Looks of species, derived from their ranks: related species look alike.

Kingdom and phylum determine the background; class the silhouette; order the number and colour of limbs; family the main
colour; genus the pattern and its colour; species a mark and the size of the pattern. The hues of siblings are spaced by
the golden ratio, starting from a hash of their parent's names, so that they differ for any number of siblings.
"""

import colorsys
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from workflow_scripts.contracts import RANKS
from workflow_scripts.world.silhouettes import SILHOUETTES
from workflow_scripts.world.table import Species

GOLDEN = 0.6180339887
Colour = tuple[int, int, int]
"""Blue, green, red; 0 to 255."""

PATTERNS = ("lying", "standing", "slanting", "spots", "checks", "rings", "halves")
MARKS = ("disc", "square", "triangle")
MARK_COLOURS: tuple[Colour, ...] = (
    (250, 250, 250),
    (15, 15, 15),
    (40, 40, 235),
    (40, 230, 245),
    (235, 80, 30),
    (70, 200, 60),
    (220, 60, 220),
)
SILHOUETTE_OF_CLASS = {
    "Mammalia": "beast",
    "Aves": "bird",
    "Reptilia": "lizard",
    "Squamata": "lizard",
    "Amphibia": "frog",
    "Actinopterygii": "fish",
    "Elasmobranchii": "shark",
    "Chondrichthyes": "shark",
    "Insecta": "insect",
    "Arachnida": "spider",
    "Malacostraca": "crab",
    "Gastropoda": "snail",
    "Bivalvia": "clam",
    "Cephalopoda": "octopus",
    "Asteroidea": "star",
    "Anthozoa": "coral",
    "Magnoliopsida": "flower",
    "Liliopsida": "lily",
    "Pinopsida": "conifer",
    "Polypodiopsida": "fern",
    "Agaricomycetes": "mushroom",
    "Pezizomycetes": "morel",
    "Phaeophyceae": "kelp",
}


@dataclass(frozen=True)
class Look:
    """How a species is drawn.

    Attributes:
        background: colour of the background (kingdom and phylum).
        silhouette: name of the silhouette (class).
        limbs: number of legs, petals, arms or fronds (order).
        limb: colour of the limbs (order).
        main: colour of the body (family).
        pattern: name of the body's pattern (genus).
        second: colour of the pattern (genus).
        mark: shape of the mark (species).
        mark_colour: colour of the mark (species).
        coarseness: size of the pattern, 0 to 2 (species).
    """

    background: Colour
    silhouette: str
    limbs: int
    limb: Colour
    main: Colour
    pattern: str
    second: Colour
    mark: str
    mark_colour: Colour
    coarseness: int


def looks_of(species: Sequence[Species]) -> list[Look]:
    """The look of each species, from its names and those of its siblings in the table."""
    children: dict[tuple[str, ...], list[str]] = {}
    for ranks in sorted({one.ranks[:depth] for one in species for depth in range(1, len(RANKS) + 1)}):
        children.setdefault(ranks[:-1], []).append(ranks[-1])
    other_classes = sorted({one.ranks[2] for one in species} - SILHOUETTE_OF_CLASS.keys())
    silhouettes = SILHOUETTE_OF_CLASS | {
        name: sorted(SILHOUETTES)[place % len(SILHOUETTES)] for place, name in enumerate(other_classes)
    }

    def place(one: Species, rank: str) -> tuple[float, int]:
        """The hash of the parent's names, in [0, 1), and the taxon's index among its siblings."""
        depth = RANKS.index(rank)
        return _fraction(one.ranks[:depth]), children[one.ranks[:depth]].index(one.ranks[depth])

    looks = []
    for one in species:
        phylum_start, phylum = place(one, "phylum")
        order_start, order = place(one, "order")
        family_start, family = place(one, "family")
        genus_start, genus = place(one, "genus")
        species_start, kind = place(one, "species")
        main_hue = order_start + 0.37 * order + GOLDEN * family
        pattern = int(genus_start * len(PATTERNS)) + 3 * genus
        mark = int(species_start * len(MARK_COLOURS)) + 2 * kind
        looks.append(
            Look(
                background=colour(phylum_start + GOLDEN * phylum, 0.28, 0.72),
                silhouette=silhouettes[one.ranks[2]],
                limbs=2 + (int(order_start * 4) + order) % 4,
                limb=colour(order_start + 0.5 + GOLDEN * order, 0.75, 0.45),
                main=colour(main_hue, 0.8, (0.95, 0.7)[int(family_start * 2)]),
                pattern=PATTERNS[pattern % len(PATTERNS)],
                second=colour(main_hue + 0.3 + GOLDEN * genus * 0.7, 0.85, (0.35, 0.95)[genus % 2]),
                mark=MARKS[(int(species_start * len(MARKS)) + kind) % len(MARKS)],
                mark_colour=MARK_COLOURS[mark % len(MARK_COLOURS)],
                coarseness=(int(species_start * 3) + kind) % 3,
            )
        )
    return looks


def colour(hue: float, saturation: float, value: float) -> Colour:
    """Blue, green, red of a colour; hue modulo 1, saturation and value in [0, 1]."""
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
    return round(255 * blue), round(255 * green), round(255 * red)


def _fraction(path: tuple[str, ...]) -> float:
    return int.from_bytes(hashlib.sha256("/".join(path).encode()).digest()[:4]) / 2**32
