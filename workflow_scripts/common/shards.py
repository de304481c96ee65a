"""Shards: webdataset tars of square images, each with a manifest row and an index.

A sample is `<uuid>.jpg` and one text. This module describes shards and removes images from them; `shard_writer` writes
them.
"""

import logging
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from workflow_scripts.common import tables, tars
from workflow_scripts.common.files import sha256_file
from workflow_scripts.common.takedowns import names_any, register
from workflow_scripts.common.work_folder import DONE, exclusive
from workflow_scripts.contracts import REPLAY_INDEX, SHARD_INDEX, SHARD_MANIFEST, Contract

logger = logging.getLogger(__name__)

TAR, INDEX, MANIFEST = "shard.tar", "index.parquet", "manifest.parquet"


@dataclass(frozen=True)
class Kind:
    """A kind of samples, by the text that they have beside their image.

    Attributes:
        column: column of the text in the index.
        extension: extension of the text's tar member.
        contract: contract of the index.
        drop_unreadable: whether an undecodable image is left out instead of being an error.
    """

    column: str
    extension: str
    contract: Contract
    drop_unreadable: bool


BIOLOGY = Kind("label_id", "label_id.txt", SHARD_INDEX, drop_unreadable=False)
REPLAY = Kind("caption", "txt", REPLAY_INDEX, drop_unreadable=True)


def manifest_row(tar: Path, *, samples: int, name: str | None = None) -> dict[str, Any]:
    """The manifest row (contract SHARD_MANIFEST) of a tar, which may be published under another name."""
    return {
        "shard": name or tar.name,
        "samples": samples,
        "bytes": tar.stat().st_size,
        "sha256": sha256_file(tar),
    }


def remove_others(folder: Path, names: Set[str] | Mapping[str, Any]) -> None:
    """Remove all other shards from a folder: links of an earlier plan, whose work folders keep them."""
    for tar in folder.glob("shard-*.tar"):
        if tar.name not in names:
            logger.info("%s: removed, not in this plan", tar)
            tar.unlink()


def shards_with(folders: Iterable[Path], uuids: Set[str]) -> list[Path]:
    """The shards of some folders that contain one of the images, by the folders' indexes."""
    found = []
    for folder in folders:
        with tables.connect() as connection:
            register(connection, uuids)
            rows = connection.execute(
                f"SELECT DISTINCT shard FROM {tables.scan(folder / INDEX)} SEMI JOIN taken_down USING (uuid) "
                "ORDER BY shard"
            ).fetchall()
        found += [folder / shard for (shard,) in rows]
    return found


def forget_samples(kind: Kind, folders: Sequence[Path], work: Path, uuids: Set[str]) -> None:
    """Remove images from folders of shards, and delete the work folders that have the old shards.

    Args:
        kind: the kind of samples.
        folders: folders with shards, a manifest and an index.
        work: folder of the shards' work folders.
        uuids: the images to remove.

    Raises:
        BusyError: a job is writing one of the shards.
    """
    for folder, shards in groupby(shards_with(folders, uuids), key=lambda shard: shard.parent):
        _rewrite(kind, folder, [shard.name for shard in shards], uuids)
    for key in sorted(work.glob("*/key.json")):
        # Unfinished work may contain any image.
        if not (key.parent / DONE).exists() or names_any(key.parent / INDEX, uuids):
            with exclusive(key.parent / "lock", wait=False):
                logger.info("%s: removed", key.parent)
                shutil.rmtree(key.parent)


def _rewrite(kind: Kind, folder: Path, names: Sequence[str], uuids: Set[str]) -> None:
    """Rewrite some shards of a folder, then its manifest and index."""
    indexes: dict[str, pa.Table] = {}
    entries: dict[str, dict[str, Any]] = {}
    for name in names:
        tar = folder / name
        remaining = tars.drop_samples(tar, uuids)
        places = tars.member_places(tar)
        rows = pq.read_table(folder / INDEX, filters=[("shard", "==", name)]).sort_by("position")
        kept = rows.filter(pc.invert(pc.is_in(rows["uuid"], pa.array(sorted(uuids)))))
        assert kept["uuid"].to_pylist() == remaining, f"{tar}: its samples differ from its index"
        spans = [places[f"{uuid}.jpg"] for uuid in remaining]
        moved = {
            "position": range(len(remaining)),
            "offset": [span.offset for span in spans],
            "size": [span.size for span in spans],
        }
        for column, values in moved.items():
            kept = kept.set_column(kept.column_names.index(column), column, pa.array(values, pa.int64()))
        indexes[name] = kept
        entries[name] = manifest_row(tar, samples=len(remaining))
        logger.info("%s: rewritten with %d samples", tar, len(remaining))

    def groups() -> Iterator[pa.Table]:
        file = pq.ParquetFile(folder / INDEX)
        for number in range(file.num_row_groups):
            group = file.read_row_group(number)
            yield indexes.get(group["shard"][0].as_py(), group)

    manifest = tables.read_rows(folder / MANIFEST, SHARD_MANIFEST).to_pylist()
    rewritten = [entries.get(row["shard"], row) for row in manifest]
    tables.write_rows([row for row in rewritten if row["samples"]], SHARD_MANIFEST, folder / MANIFEST)
    # The index last, so that an interrupted removal still finds the images.
    tables.write_row_groups(groups(), kind.contract, folder / INDEX)
    for name, entry in entries.items():
        if not entry["samples"]:
            (folder / name).unlink()
