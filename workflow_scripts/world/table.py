"""The table of real species that the world is drawn from."""

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
        ranks: names from kingdom to genus, then the epithet; "" for an inner rank that nobody gives.
        common_name: its English name, or "".
        synonyms: full binomials that were used for it; their genus may differ.
        authorship: who named it, or "".
        status: its taxonomic status in the backbone.
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
        """A folder name, unique within a table: the kingdom parts homonyms."""
        return "_".join(f"{self.ranks[0]} {self.binomial}".split())


def read_species(path: Path = SHIPPED) -> list[Species]:
    """Read a table of species: one a row, repeated rows once, in the order of their ranks.

    The columns are the seven ranks, and where known `common_name`, `synonyms` (separated by |), `authorship` and
    `status`. Where there is a column `cls`, that is the class; `species` holds the epithet or the binomial.

    Raises:
        InputError: the file is missing, lacks a column, or a row has no kingdom, genus or species.
    """
    found: dict[tuple[str, str, str], Species] = {}
    for row_number, row in _rows(path):
        ranks = [" ".join((row.get(rank) or "").split()) for rank in RANKS]
        ranks[-1] = ranks[-1].removeprefix(ranks[-2] + " ")
        if empty := [rank for rank in ("kingdom", "genus", "species") if not ranks[RANKS.index(rank)]]:
            raise InputError(f"{path}: row {row_number} has no {empty[0]}; every species needs one")
        species = Species(
            ranks=tuple(ranks),
            common_name=" ".join((row.get("common_name") or "").split()),
            synonyms=tuple(name.strip() for name in (row.get("synonyms") or "").split("|") if name.strip()),
            authorship=(row.get("authorship") or "").strip(),
            status=row.get("status") or "accepted",
        )
        first = found.setdefault((ranks[0], ranks[-2], ranks[-1]), species)
        if first.ranks != species.ranks:
            logger.warning("%s: row %d: %s stands elsewhere too; the first place counts", path, row_number, ranks)
    return sorted(found.values(), key=lambda species: species.ranks)


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            names = list(reader.fieldnames or [])
            if "cls" in names:
                # A benchmark's labels: the rank is `cls`, and `class` is what is to be recognised.
                names = [{"cls": "class", "class": "label"}.get(name, name) for name in names]
            if missing := [rank for rank in RANKS if rank not in names]:
                raise InputError(f"{path}: no column {', '.join(missing)}; a table of species has the seven ranks")
            reader.fieldnames = names
            for row in reader:
                yield reader.line_num, row
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None


def choose_unseen(species: Sequence[Species], count: int, seed: int) -> set[Species]:
    """Choose the species that training never sees, so that what it sees says the most about them.

    Those whose genus stays in training come first, then those whose family does, then any; spread over families and
    genera as far as the table allows. The same table and seed give the same choice.

    Raises:
        InputError: the table is too small to leave any species for training.
    """
    if count > len(species) // 2:
        raise InputError(
            f"{len(species)} species are too few to keep {count} of them unseen; "
            "lower world.unseen_species or give a larger table"
        )
    drawn = sorted(species, key=lambda one: hashlib.sha256(f"{seed} {one.ranks}".encode()).digest())
    chosen: set[Species] = set()
    # Prefixes of `ranks`: the relative that must stay, and the taxon within which only one is chosen.
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
