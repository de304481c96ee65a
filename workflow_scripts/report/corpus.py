"""Compute the digest of a corpus's training data, and count its contents."""

from pathlib import Path

from workflow_scripts.common import tables
from workflow_scripts.common.cli import run
from workflow_scripts.common.corpus_identity import identify
from workflow_scripts.common.documents import write_document
from workflow_scripts.contracts import COMPOSITION, CORPUS, SHARD_INDEX, SPLITS

HERE = Path(__file__).parent
QUERY = "composition.sql"
# Hex digits of the digest in a corpus's ID: a collision among a billion corpora has a probability of 1/40.
DIGITS = 16


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

    Args:
        name: name of the corpus; its ID is this name and the first digits of the digest.
        shards: the generations' folders of shards.
        labels: the corpus's taxonomy/labels.parquet.
        replay: folder of its replay shards, if it has any.
        out: output: the identity as JSON: `id`, `digest`, its `parts`, and counts.
        composition: output: training images by taxon (contract COMPOSITION).
        memory_mb: DuckDB's memory limit, MiB.
        threads: DuckDB's threads.

    Raises:
        InputError: a table is missing or breaks its contract.
    """
    with tables.connect(memory_mb, threads) as connection:
        found = identify(connection, shards=shards, labels=labels, replay=replay)
        indexes = [folder / "train" / "index.parquet" for folder in shards]
        tables.read(connection, indexes, SHARD_INDEX, "samples")
        query = (HERE / QUERY).read_text(encoding="utf-8")
        taxa = tables.write(connection, query, COMPOSITION, composition)
        species = tables.scalar(
            connection,
            f"SELECT count(DISTINCT (kingdom, genus, species)) FROM {tables.scan(composition)} "
            "WHERE genus IS NOT NULL AND species IS NOT NULL",
        )
    described = {
        "name": name,
        "id": f"{name}:{found.digest[:DIGITS]}",
        "digest": found.digest,
        "parts": found.parts,
        "images": {split: sum(one.samples for one in found.biology if one.split == split) for split in SPLITS},
        "replay_pairs": {split: sum(one.samples for one in found.replay if one.split == split) for split in SPLITS},
        "shards": sum(one.shards for one in found.biology),
        "bytes": sum(one.bytes for one in found.biology),
        "taxa": taxa,
        "species": int(species),
    }
    write_document(out, described, CORPUS)


if __name__ == "__main__":
    run(describe_corpus)
