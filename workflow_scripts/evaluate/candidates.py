"""The species that images may be of: a list of a person's own, or what a corpus trains on."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from workflow_scripts.common import tables
from workflow_scripts.common.captions import Taxon
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.layout import Corpus
from workflow_scripts.common.species import species_in_batches
from workflow_scripts.contracts import LABELS, RANKS, SEEN_SPECIES

BATCH = 65_536
SEEN = "lower(genus || ' ' || species) IN (SELECT species FROM seen)"


def listed(path: Path) -> list[Taxon]:
    """The species of a CSV with columns named like ranks (`cls` or `class`) and `common_name`; each once.

    Raises:
        InputError: the file is missing, no CSV, has none of the columns, or names nothing.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a CSV of species: {error}") from None
    found = list(dict.fromkeys(_taxa(rows)))
    if not found:
        raise InputError(f"{path}: names no taxon; it needs columns such as genus, species and common_name")
    return found


def _taxa(rows: Sequence[Mapping[str, str | None]]) -> Iterator[Taxon]:
    for row in rows:
        # Where both are there, `class` is a benchmark's label and `cls` the rank.
        values = {**row, "class": row.get("cls", row.get("class"))}
        *higher, epithet = (" ".join((values.get(rank) or "").split()) for rank in RANKS)
        # Lists often give the binomial where the epithet belongs.
        ranks = (*higher, epithet.removeprefix(f"{higher[-1]} ").lower())
        if any(ranks):
            yield Taxon(ranks, common_name=" ".join((row.get("common_name") or "").split()))


def trained_on(corpus: Path) -> list[Taxon]:
    """The species that a corpus has training images of.

    Raises:
        InputError: the corpus has no labels, no list of its species, or none.
    """
    files = Corpus(str(corpus))
    with tables.connect() as connection:
        tables.read(connection, Path(files.seen_species()), SEEN_SPECIES, "seen")
        tables.read(connection, Path(files.labels()), LABELS, "labels", only=SEEN)
        found = [taxon for batch in species_in_batches(connection, BATCH) for taxon in batch]
    if not found:
        raise InputError(f"{corpus}: trains on no species")
    return found
