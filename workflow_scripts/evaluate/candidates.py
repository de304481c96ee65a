"""The species that images may be of: a list of a person's own, or what a corpus trains on."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from workflow_scripts.common import tables
from workflow_scripts.common.captions import Taxon
from workflow_scripts.common.errors import InputError
from workflow_scripts.contracts import LABELS, RANKS, SEEN_SPECIES

Names = tuple[str, ...]

SPECIES = """
SELECT DISTINCT ON (kingdom, genus, species) {ranks}, common_name
FROM labels
WHERE genus IS NOT NULL AND species IS NOT NULL
    AND lower(genus || ' ' || species) IN (SELECT species FROM seen)
ORDER BY kingdom, genus, species, images DESC, label_id
"""


@dataclass(frozen=True)
class Candidate:
    """A species that an image may be of.

    Attributes:
        ranks: the names at the seven ranks, "" where unknown; the last one is the epithet.
        common_name: "" where there is none.
    """

    ranks: Names
    common_name: str

    @property
    def prompt_name(self) -> str:
        """The name that prompts are made of: the taxonomic name with the common one, as both papers write it."""
        taxon = Taxon(self.ranks, common_name=self.common_name)
        return f"{taxon.taxonomic} with common name {self.common_name}" if self.common_name else taxon.taxonomic

    def down_to(self, rank: str) -> Names:
        """The names from kingdom down to a rank."""
        return self.ranks[: RANKS.index(rank) + 1]


def listed(path: Path) -> list[Candidate]:
    """The species of a CSV with columns named like ranks (`cls` or `class`) and `common_name`; each once.

    Raises:
        InputError: the file is missing, no CSV, has none of the columns, or names nothing.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a CSV of species: {error}") from None
    found = list(dict.fromkeys(_candidates(rows)))
    if not found:
        raise InputError(f"{path}: names no taxon; it needs columns such as genus, species and common_name")
    return found


def _candidates(rows: Sequence[Mapping[str, str | None]]) -> Iterator[Candidate]:
    for row in rows:
        # Where both are there, `class` is a benchmark's label and `cls` the rank.
        values = {**row, "class": row.get("cls", row.get("class"))}
        *higher, epithet = (" ".join((values.get(rank) or "").split()) for rank in RANKS)
        # Lists often give the binomial where the epithet belongs.
        ranks = (*higher, epithet.removeprefix(f"{higher[-1]} ").lower())
        if any(ranks):
            yield Candidate(ranks, " ".join((row.get("common_name") or "").split()))


def trained_on(corpus: Path) -> list[Candidate]:
    """The species that a corpus has training images of.

    Raises:
        InputError: the corpus has no labels, no list of its species, or none.
    """
    ranks = ", ".join(map(tables.quoted, RANKS))
    with tables.connect() as connection:
        tables.read(connection, corpus / "taxonomy" / "labels.parquet", LABELS, "labels")
        tables.read(connection, corpus / "curate" / "seen_species.parquet", SEEN_SPECIES, "seen")
        rows = connection.execute(SPECIES.format(ranks=ranks)).fetchall()
    if not rows:
        raise InputError(f"{corpus}: trains on no species")
    return [Candidate(tuple(name or "" for name in row[:-1]), row[-1] or "") for row in rows]
