"""Held-out replay pairs as a benchmark: each image among all distinct captions measures what a model forgot."""

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
    """Write the table of the held-out replay pairs. An image's class is its caption, its path the shard's.

    Args:
        name: the benchmark's name.
        shards: the folder of the replay val shards, with their `manifest.parquet` and `index.parquet`.
        out: the table.
        account: rows in and out.
        jobs: threads that decode and hash; they change no byte.

    Raises:
        InputError: a shard is missing or not the one of the manifest, manifest and index differ, or nothing is held
            out.
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
        raise InputError(f"{manifest}: manifest and index of {miscounted[0]} differ; write the replay shards again")
    for shard, sha256 in listed:
        tar = shards / shard
        if not tar.is_file():
            raise InputError(f"{tar}: missing; write the replay shards again")
        if sha256_file(tar) != sha256:
            raise InputError(f"{tar}: not the bytes of its manifest; write the replay shards again")


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
