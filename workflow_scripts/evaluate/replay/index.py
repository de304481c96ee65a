"""Index held-out replay pairs as a benchmark: matching each image to its caption measures what a model forgot."""

from collections.abc import Iterator
from pathlib import Path

from workflow_scripts.common import tables
from workflow_scripts.common.cli import run
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import sha256_file
from workflow_scripts.common.tars import Span
from workflow_scripts.contracts import REPLAY_INDEX, SHARD_MANIFEST
from workflow_scripts.evaluate.indexing import Labelled, index_images

ROWS_AT_ONCE = 1000


def index_replay(*, name: str, shards: Path, out: Path, account: Path, jobs: int = 2) -> None:
    """Write the images table of the held-out replay pairs; an image's class is its caption, its path is the shard's.

    Args:
        name: the benchmark's name.
        shards: the folder of replay val shards, with `manifest.parquet` and `index.parquet`.
        out: the images table to write.
        account: the account to write.
        jobs: threads that decode and hash; the number does not affect the output.

    Raises:
        InputError: a shard is missing or differs from the manifest, manifest and index differ, or no pair is held out.
    """
    _verify(shards)
    index_images(_pairs(shards), benchmark=name, out=out, account=account, jobs=jobs)


def _verify(shards: Path) -> None:
    manifest = shards / "manifest.parquet"
    with tables.connect() as connection:
        tables.read(connection, manifest, SHARD_MANIFEST, "manifest")
        tables.read(connection, shards / "index.parquet", REPLAY_INDEX, "samples")
        listed = connection.execute("SELECT shard, sha256 FROM manifest ORDER BY shard").fetchall()
        miscounted = connection.execute(
            """
            SELECT coalesce(manifest.shard, counted.shard)
            FROM manifest
            FULL JOIN (SELECT shard, count(*) AS samples FROM samples GROUP BY shard) AS counted USING (shard)
            WHERE manifest.samples IS DISTINCT FROM counted.samples
            ORDER BY ALL LIMIT 1
            """
        ).fetchone()
    if not listed:
        raise InputError(f"{manifest}: no replay pair is held out; set replay.val_share above 0")
    if miscounted is not None:
        raise InputError(
            f"{manifest}: sample count of {miscounted[0]} differs from the index; write the replay shards again"
        )
    for shard, sha256 in listed:
        tar = shards / shard
        if not tar.is_file():
            raise InputError(f"{tar}: missing; write the replay shards again")
        if sha256_file(tar) != sha256:
            raise InputError(f"{tar}: digest differs from the manifest; write the replay shards again")


def _pairs(shards: Path) -> Iterator[Labelled]:
    with tables.connect() as connection:
        tables.read(connection, shards / "index.parquet", REPLAY_INDEX, "samples")
        cursor = connection.execute('SELECT uuid, shard, "offset", size, caption FROM samples ORDER BY shard, position')
        position = 0
        while rows := cursor.fetchmany(ROWS_AT_ONCE):
            for uuid, shard, offset, size, caption in rows:
                yield Labelled(position, uuid, shards / shard, Span(offset, size), caption)
                position += 1


if __name__ == "__main__":
    run(index_replay)
