"""The digest that identifies a corpus in reports, cards, `corpus.json` and configs.

It covers the shards' names and SHA-256 digests by generation and split, the names for captions, and the replay
shards. It is computed from contents, so it does not depend on library versions. Equal digests mean equal training data,
whatever the corpus is called and wherever it is.
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
# Columns that captions are written from.
NAMES = 'label_id, kingdom, phylum, "class", "order", family, genus, species, scientific_name, common_name'
SHARDS = "shard, samples, bytes, sha256"
ROWS_A_TIME = 10_000


@dataclass(frozen=True)
class SplitFacts:
    """Totals and digest of the manifest of a split.

    Attributes:
        split: train or val.
        shards: number of shards.
        samples: number of samples.
        bytes: total size of the shards, bytes.
        rows: digest of the manifest's rows.
    """

    split: str
    shards: int
    samples: int
    bytes: int
    rows: str


@dataclass(frozen=True)
class CorpusIdentity:
    """The contents that identify a corpus.

    Attributes:
        biology: splits of its generations, in order.
        replay: splits of its replay pairs; empty without replay.
        names: digest of its labels' names; None if the tars contain the captions.
    """

    biology: tuple[SplitFacts, ...]
    replay: tuple[SplitFacts, ...]
    names: str | None

    @property
    def parts(self) -> dict[str, str | None]:
        """Digests of images, names and replay, which make up the corpus's digest."""
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
    """Identify a corpus by its tables.

    Args:
        connection: a DuckDB connection, in which the views `manifest` and `labels` are created.
        shards: shard folders of the generations, in order.
        labels: table of names; None for tars that contain their captions, which may lack a val split.
        replay: folder of the replay shards.

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
    """Identify a corpus by its folder, which may be one of indexed tars (`results/shared/indexed/<name>`).

    Raises:
        InputError: the folder has no shards, or a table is missing or breaks its contract.
    """
    generations = sorted(folder.glob("shards/g*"))
    with tables.connect() as connection:
        if generations:
            labels = folder / "taxonomy/labels.parquet"
            return identify(connection, shards=generations, labels=labels, replay=replay_of(folder))
        if not any((folder / split / MANIFEST).exists() for split in SPLITS):
            raise InputError(f"{folder}: no shards found; give the folder of a corpus, such as results/corpora/world")
        return identify(connection, shards=[folder])


def replay_of(folder: Path) -> Path | None:
    """Folder of a corpus's replay shards; None if it has none."""
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
    """SHA-256 of a query's rows as lines of JSON, read in batches of `ROWS_A_TIME`."""
    sums = hashlib.sha256()
    found = connection.execute(query)
    while rows := found.fetchmany(ROWS_A_TIME):
        sums.update("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())
    return sums.hexdigest()
