"""Name a corpus by one digest of what training sees of it, and count what it is made of."""

import hashlib
import json
from pathlib import Path
from typing import Any

import duckdb

from workflow_scripts.common import tables
from workflow_scripts.common.cli import run
from workflow_scripts.common.documents import write_document
from workflow_scripts.common.files import digest
from workflow_scripts.contracts import COMPOSITION, CORPUS, LABELS, SHARD_INDEX, SHARD_MANIFEST, SPLITS

HERE = Path(__file__).parent
QUERY = "composition.sql"
# Digits of the digest that name a corpus in print: two corpora among a billion meet once in forty.
DIGITS = 16
# What captions are written from.
NAMES = 'label_id, kingdom, phylum, "class", "order", family, genus, species, scientific_name, common_name'
SHARDS = "shard, samples, bytes, sha256"
ROWS_A_TIME = 10_000


def describe_corpus(
    *,
    name: str,
    shards: tuple[Path, ...],
    labels: Path,
    replay: Path | None = None,
    out: Path,
    composition: Path,
    memory_mb: int = 2048,
    threads: int = 1,
) -> None:
    """Write a corpus's identity and counts, and its training images by taxon.

    The digest is over the shards' names and SHA-256 sums, generation by generation and split by split, over the names
    that captions are written from, and over the replay shards: over content, so that no version of a library changes
    it. Equal digests mean equal training data, whatever the corpus is called.

    Args:
        name: the corpus's name, in front of the digits that name it in print.
        shards: the generations' folders of shards.
        labels: the corpus's taxonomy/labels.parquet.
        replay: the folder of its replay shards, where it has any.
        out: the identity, JSON: `id`, `digest`, its `parts`, and counts.
        composition: training images by taxon (contract COMPOSITION).
        memory_mb: DuckDB's memory limit, MiB.
        threads: DuckDB's threads.

    Raises:
        InputError: a table is missing or breaks its contract.
    """
    with tables.connect(memory_mb, threads) as connection:
        biology = [_split(connection, folder, split) for folder in shards for split in SPLITS]
        pairs = [_split(connection, replay, split) for split in SPLITS] if replay is not None else []
        tables.read(connection, labels, LABELS, "labels")
        parts = {
            "images": digest([one["rows"] for one in biology]),
            "names": _digest_of(connection, f"SELECT {NAMES} FROM labels ORDER BY label_id"),
            "replay": digest([one["rows"] for one in pairs]) if pairs else None,
        }
        indexes = [folder / "train" / "index.parquet" for folder in shards]
        tables.read(connection, indexes, SHARD_INDEX, "samples")
        query = (HERE / QUERY).read_text(encoding="utf-8")
        taxa = tables.write(connection, query, COMPOSITION, composition)
        species = connection.execute(
            f"SELECT count(DISTINCT (kingdom, genus, species)) FROM {tables.scan(composition)} "
            "WHERE genus IS NOT NULL AND species IS NOT NULL"
        ).fetchone()
    assert species is not None
    whole = digest(parts)
    described = {
        "name": name,
        "id": f"{name}:{whole[:DIGITS]}",
        "digest": whole,
        "parts": parts,
        "images": {split: sum(one["samples"] for one in biology if one["split"] == split) for split in SPLITS},
        "replay_pairs": {split: sum(one["samples"] for one in pairs if one["split"] == split) for split in SPLITS},
        "shards": sum(one["shards"] for one in biology),
        "bytes": sum(one["bytes"] for one in biology),
        "taxa": taxa,
        "species": int(species[0]),
    }
    write_document(out, described, CORPUS)


def _split(connection: duckdb.DuckDBPyConnection, folder: Path, split: str) -> dict[str, Any]:
    """What a split's manifest says, and a digest of its rows."""
    tables.read(connection, folder / split / "manifest.parquet", SHARD_MANIFEST, "manifest")
    counted = connection.execute(
        "SELECT count(*), coalesce(sum(samples), 0)::BIGINT, coalesce(sum(bytes), 0)::BIGINT FROM manifest"
    ).fetchone()
    assert counted is not None
    rows = _digest_of(connection, f"SELECT {SHARDS} FROM manifest ORDER BY shard")
    return {"split": split, "rows": [split, rows], **dict(zip(("shards", "samples", "bytes"), counted, strict=True))}


def _digest_of(connection: duckdb.DuckDBPyConnection, query: str) -> str:
    """SHA-256 over rows, each as a line of JSON; a few thousand are held at a time."""
    sums = hashlib.sha256()
    found = connection.execute(query)
    while rows := found.fetchmany(ROWS_A_TIME):
        sums.update("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())
    return sums.hexdigest()


if __name__ == "__main__":
    run(describe_corpus)
