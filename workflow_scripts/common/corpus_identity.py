"""The digest that identifies a corpus in reports, cards, `corpus.json` and configs.

It is over the shards' names and SHA-256 sums, generation by generation and split by split, over the names that captions
are written from, and over the replay shards: over content, so that no version of a library changes it. Equal digests
mean equal training data, whatever the corpus is called and wherever it lies.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from workflow_scripts.common import tables
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import digest
from workflow_scripts.contracts import LABELS, SHARD_MANIFEST, SPLITS

MANIFEST = "manifest.parquet"
# What captions are written from.
NAMES = 'label_id, kingdom, phylum, "class", "order", family, genus, species, scientific_name, common_name'
SHARDS = "shard, samples, bytes, sha256"
ROWS_A_TIME = 10_000


@dataclass(frozen=True)
class SplitFacts:
    """What the manifest of a split says.

    Attributes:
        split: train or val.
        shards: how many there are.
        samples: in them.
        bytes: that they take.
        rows: a digest of the manifest's rows.
    """

    split: str
    shards: int
    samples: int
    bytes: int
    rows: str


@dataclass(frozen=True)
class CorpusIdentity:
    """What a corpus is.

    Attributes:
        biology: the splits of its generations, in order.
        replay: the splits of its replay pairs; none where it has no replay.
        names: a digest of its labels' names; None where the captions are in the tars.
    """

    biology: tuple[SplitFacts, ...]
    replay: tuple[SplitFacts, ...]
    names: str | None

    @property
    def parts(self) -> dict[str, str | None]:
        """Digests of what the whole one is made of."""
        return {
            "images": digest([[one.split, one.rows] for one in self.biology]),
            "names": self.names,
            "replay": digest([[one.split, one.rows] for one in self.replay]) if self.replay else None,
        }

    @property
    def digest(self) -> str:
        """The corpus's digest."""
        return digest(self.parts)


def identify(
    connection: duckdb.DuckDBPyConnection,
    *,
    shards: Sequence[Path],
    labels: Path | None = None,
    replay: Path | None = None,
) -> CorpusIdentity:
    """A corpus by its tables.

    Args:
        connection: a connection; it gets the views `manifest` and `labels`.
        shards: the generations' folders of shards, in order.
        labels: its names; None for tars that hold their captions, which may lack a val split.
        replay: the folder of its replay shards.

    Raises:
        InputError: a table is missing or breaks its contract.
    """
    places = [(folder, split) for folder in shards for split in SPLITS]
    if labels is None:
        places = [(folder, split) for folder, split in places if (folder / split / MANIFEST).exists()]
        names = None
    else:
        tables.read(connection, labels, LABELS, "labels")
        names = _digest_of(connection, f"SELECT {NAMES} FROM labels ORDER BY label_id")
    biology = tuple(_split(connection, folder, split) for folder, split in places)
    pairs = tuple(_split(connection, replay, split) for split in SPLITS) if replay is not None else ()
    return CorpusIdentity(biology, pairs, names)


def identify_folder(folder: Path) -> CorpusIdentity:
    """A corpus by its folder (`results/corpora/<corpus>`), or that of indexed tars (`results/shared/indexed/<name>`).

    Raises:
        InputError: no shards are there, or a table is missing or breaks its contract.
    """
    generations = sorted(folder.glob("shards/g*"))
    with tables.connect() as connection:
        if generations:
            labels = folder / "taxonomy/labels.parquet"
            return identify(connection, shards=generations, labels=labels, replay=replay_of(folder))
        if not any((folder / split / MANIFEST).exists() for split in SPLITS):
            raise InputError(f"{folder}: no shards there; give a corpus's folder, such as results/corpora/world")
        return identify(connection, shards=[folder])


def replay_of(folder: Path) -> Path | None:
    """The folder of a corpus's replay shards, where it has any."""
    replay = folder / "replay"
    return replay if (replay / "train" / MANIFEST).exists() else None


def _split(connection: duckdb.DuckDBPyConnection, folder: Path, split: str) -> SplitFacts:
    tables.read(connection, folder / split / MANIFEST, SHARD_MANIFEST, "manifest")
    shards, samples, size = tables.one_row(
        connection,
        "SELECT count(*), coalesce(sum(samples), 0)::BIGINT, coalesce(sum(bytes), 0)::BIGINT FROM manifest",
    )
    return SplitFacts(
        split, shards, samples, size, rows=_digest_of(connection, f"SELECT {SHARDS} FROM manifest ORDER BY shard")
    )


def _digest_of(connection: duckdb.DuckDBPyConnection, query: str) -> str:
    """SHA-256 over rows, each as a line of JSON; a few thousand are held at a time."""
    sums = hashlib.sha256()
    found = connection.execute(query)
    while rows := found.fetchmany(ROWS_A_TIME):
        sums.update("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())
    return sums.hexdigest()
