"""The table of real species that the world is made of."""

import csv
import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from workflow_scripts.common.errors import InputError
from workflow_scripts.contracts import RANKS

logger = logging.getLogger(__name__)

SHIPPED = Path(__file__).parent / "species.csv"
HOMONYMS = Path(__file__).parent / "homonyms.csv"


@dataclass(frozen=True)
class Species:
    """A real species.

    Attributes:
        ranks: names from kingdom to genus, then the epithet; "" for a missing inner rank.
        common_name: English name, or "".
        synonyms: binomials of its synonyms, in any genus.
        authorship: author and year of the name, or "".
        status: taxonomic status in the backbone.
    """

    ranks: tuple[str, ...]
    common_name: str = ""
    synonyms: tuple[str, ...] = ()
    authorship: str = ""
    status: str = "accepted"

    @property
    def genus(self) -> str:
        """The genus name."""
        return self.ranks[-2]

    @property
    def epithet(self) -> str:
        """The specific epithet."""
        return self.ranks[-1]

    @property
    def binomial(self) -> str:
        """Genus and epithet."""
        return f"{self.genus} {self.epithet}"

    @property
    def folder(self) -> str:
        """A folder name, unique within a table: it has the kingdom, which differs between homonyms."""
        return "_".join(f"{self.ranks[0]} {self.binomial}".split())


def read_species(path: Path = SHIPPED) -> list[Species]:
    """Read a CSV of species, without repetitions, sorted by ranks.

    Columns are the seven ranks and, optionally, `common_name`, `synonyms` (separated by |), `authorship` and `status`.
    A column `cls` takes precedence over `class`; `species` is the epithet or the binomial.

    Raises:
        InputError: the file is missing, lacks a column, or a row has no kingdom, genus or species.
    """
    found: dict[tuple[str, str, str], Species] = {}
    for line, row in _rows(path):
        ranks = [" ".join((row.get(rank) or "").split()) for rank in RANKS]
        ranks[-1] = ranks[-1].removeprefix(ranks[-2] + " ")
        if empty := [rank for rank in ("kingdom", "genus", "species") if not ranks[RANKS.index(rank)]]:
            raise InputError(f"{path}: line {line}: no {empty[0]}; every species needs one")
        species = Species(
            ranks=tuple(ranks),
            common_name=" ".join((row.get("common_name") or "").split()),
            synonyms=tuple(name.strip() for name in (row.get("synonyms") or "").split("|") if name.strip()),
            authorship=(row.get("authorship") or "").strip(),
            status=row.get("status") or "accepted",
        )
        first = found.setdefault((ranks[0], ranks[-2], ranks[-1]), species)
        if first.ranks != species.ranks:
            logger.warning("%s: line %d: other higher ranks than in an earlier line; ignored: %s", path, line, ranks)
    return sorted(found.values(), key=lambda species: species.ranks)


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            names = list(reader.fieldnames or [])
            if "cls" in names:
                # In benchmark labels, `cls` is the rank and `class` is the target.
                names = [{"cls": "class", "class": "label"}.get(name, name) for name in names]
            if missing := [rank for rank in RANKS if rank not in names]:
                raise InputError(f"{path}: no column {', '.join(missing)}; a table of species needs all seven ranks")
            reader.fieldnames = names
            for row in reader:
                yield reader.line_num, row
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None


def choose_unseen(species: Sequence[Species], count: int, seed: int) -> set[Species]:
    """Choose the species that are excluded from training, preferring those with relatives in it.

    Species whose genus stays in training come first, then those whose family does, then any; they are spread over
    families and genera as far as possible. The same table and seed give the same choice.

    Raises:
        InputError: `count` is more than half of the table.
    """
    if count > len(species) // 2:
        raise InputError(
            f"{len(species)} species are too few to exclude {count} of them from training; "
            "lower world.unseen_species or use a larger table"
        )
    drawn = sorted(species, key=lambda one: hashlib.sha256(f"{seed} {one.ranks}".encode()).digest())
    chosen: set[Species] = set()
    # Lengths of prefixes of `ranks`: the taxon that must stay in training, and the taxon with at most one choice.
    genus, family = len(RANKS) - 1, len(RANKS) - 2
    for relative, single in ((genus, family), (genus, genus), (family, family), (family, genus), (0, 0)):
        for one in drawn:
            if len(chosen) == count:
                return chosen
            if one in chosen or (single and any(one.ranks[:single] == other.ranks[:single] for other in chosen)):
                continue
            stays = [other for other in species if other not in chosen and other != one]
            if any(other.ranks[:relative] == one.ranks[:relative] for other in stays):
                chosen.add(one)
    return chosen
