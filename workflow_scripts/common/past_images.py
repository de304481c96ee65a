"""Ledgers of the images that a corpus's shards have ever contained: hashes, written once, beside the corpus.

For each manifest that a training may have read, the ledger has a copy, named by its SHA-256, and the images of those
shards that no earlier manifest lists. The record of a training names its manifests by the same digests. Takedowns, new
plans and rebuilds of the corpus therefore change no answer about past trainings.
"""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from workflow_scripts.common import tables
from workflow_scripts.common.files import atomic, sha256_file
from workflow_scripts.common.layout import Corpus, PastImages
from workflow_scripts.contracts import PAST_IMAGES, SHARD_MANIFEST

INDEX, MANIFEST = "index.parquet", "manifest.parquet"
REPLAY = "replay"
NO_HASHES = "SELECT NULL::VARCHAR AS uuid, NULL::VARCHAR AS md5, NULL::VARCHAR AS pdq WHERE false"


@dataclass(frozen=True)
class PastImage:
    """An image that is or was in shards.

    Attributes:
        uuid: uuid of the image.
        md5: MD5 of the original bytes.
        pdq: perceptual hash.
        of: the generation, or `replay`.
        manifests: digests of the manifests of all shard folders with the image.
    """

    uuid: str
    md5: str | None
    pdq: str | None
    of: str
    manifests: frozenset[str]


def keep(
    connection: duckdb.DuckDBPyConnection,
    ledgers: PastImages,
    of: str,
    folders: Iterable[Path],
    downloads: Sequence[Path],
) -> None:
    """Record the images of shard folders in the ledgers, unless they are recorded already.

    Args:
        connection: a connection.
        ledgers: the corpus's ledgers.
        of: the generation, or `replay`.
        folders: shard folders, each with a manifest and an index.
        downloads: tables with uuid, md5 and pdq of the downloaded images.

    Raises:
        InputError: a table does not exist or violates its contract.
    """
    for folder in folders:
        digest = sha256_file(folder / MANIFEST)
        copy = Path(ledgers.manifest(of=of, digest=digest))
        if copy.exists():
            continue
        tables.read(connection, folder / MANIFEST, SHARD_MANIFEST, "new_manifest")
        tables.read(connection, ledgers.manifest.found(of=of), SHARD_MANIFEST, "recorded")
        hashes = f"SELECT uuid, md5, pdq FROM {tables.scan(downloads)}" if downloads else NO_HASHES
        query = (
            "SELECT new_manifest.sha256, samples.uuid, hashes.md5, hashes.pdq "
            "FROM new_manifest ANTI JOIN recorded USING (sha256) "
            f"INNER JOIN {tables.scan(folder / INDEX)} AS samples USING (shard) "
            f"LEFT JOIN ({hashes}) AS hashes USING (uuid)"
        )
        tables.write(connection, query, PAST_IMAGES, Path(ledgers.images(of=of, digest=digest)))
        # Copied last, because the manifest marks the entry as complete.
        with atomic(copy) as temporary:
            shutil.copyfile(folder / MANIFEST, temporary)


def keep_all(connection: duckdb.DuckDBPyConnection, ledgers: PastImages, corpus: Corpus) -> None:
    """Record the images in a corpus's training shards, before the shards are rewritten."""
    for index in corpus.shard_index.found():
        if index.parent.name != "val":
            generation = index.parents[1].name
            keep(connection, ledgers, generation, [index.parent], corpus.gathered.found(generation=generation))
    pairs = [index.parent for index in corpus.replay_index.found(split="train")]
    keep(connection, ledgers, REPLAY, pairs, corpus.replay_download_part.found())


def find_past_images(
    connection: duckdb.DuckDBPyConnection, ledgers: PastImages, condition: str, values: Mapping[str, Any] | None = None
) -> list[PastImage]:
    """The images in a corpus's ledgers that match an SQL condition on uuid, md5 and pdq.

    Args:
        connection: a connection.
        ledgers: the ledgers.
        condition: the SQL condition.
        values: parameters of the condition.
    """
    manifests, images = ledgers.manifest.found(), ledgers.images.found()
    if not manifests:
        return []
    query = f"SELECT sha256, uuid, md5, pdq FROM {tables.scan(images)} WHERE {condition}"
    rows = connection.execute(query, dict(values) if values else None).fetchall()
    connection.register("matches", pa.table({"sha256": pa.array(sorted({row[0] for row in rows}), pa.string())}))
    found: dict[str, set[tuple[str, str]]] = {}
    for sha256, filename in connection.execute(
        f"SELECT sha256, filename FROM {tables.scan_named(manifests)} SEMI JOIN matches USING (sha256)"
    ).fetchall():
        found.setdefault(sha256, set()).add((Path(filename).parent.name, digest_of(Path(filename))))
    merged: dict[tuple[str, str], PastImage] = {}
    for sha256, uuid, md5, pdq in rows:
        for of, digest in found.get(sha256, ()):
            one = merged.get((of, uuid))
            known = one.manifests if one else frozenset[str]()
            merged[of, uuid] = PastImage(uuid, md5, pdq, of, known | {digest})
    return [merged[key] for key in sorted(merged)]


def digest_of(manifest: Path) -> str:
    """The digest in the file name of a ledger's manifest."""
    return manifest.name.partition(".")[0]


def digests_in(value: Any) -> frozenset[str]:
    """All strings in a nested value, which include the digests in a training's record of its data."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return frozenset().union(*map(digests_in, value))
    return frozenset([value]) if isinstance(value, str) else frozenset()
