"""Shards: webdataset tars of square images, each with a manifest row and an index.

A sample is `<uuid>.jpg` and one text. `shard_writer` writes them; here is what they are, and how images leave them.
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
    """What samples have beside their image.

    Attributes:
        column: the index's column that has the text.
        extension: the tar member's that has it.
        contract: the index's.
        drop_unreadable: whether an image that cannot be decoded is left out, or is an error.
    """

    column: str
    extension: str
    contract: Contract
    drop_unreadable: bool


BIOLOGY = Kind("label_id", "label_id.txt", SHARD_INDEX, drop_unreadable=False)
REPLAY = Kind("caption", "txt", REPLAY_INDEX, drop_unreadable=True)


def manifest_row(tar: Path, *, samples: int, name: str | None = None) -> dict[str, Any]:
    """What a manifest (contract SHARD_MANIFEST) says of a tar, which may be published under another name."""
    return {
        "shard": name or tar.name,
        "samples": samples,
        "bytes": tar.stat().st_size,
        "sha256": sha256_file(tar),
    }


def remove_others(folder: Path, names: Set[str] | Mapping[str, Any]) -> None:
    """Remove a folder's shards that are none of these: links of an earlier plan, which stay in their work folders."""
    for tar in folder.glob("shard-*.tar"):
        if tar.name not in names:
            logger.info("%s: not in this plan; removed", tar)
            tar.unlink()


def shards_with(folders: Iterable[Path], uuids: Set[str]) -> list[Path]:
    """The shards of some folders that hold one of the images, by the folders' indexes."""
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
    """Take images out of folders of shards, and remove the work folders that keep the shards as they were.

    Args:
        kind: what the samples have.
        folders: folders with shards, a manifest and an index.
        work: where the shards' work folders are.
        uuids: the images.

    Raises:
        BusyError: a job is writing one of them.
    """
    for folder, shards in groupby(shards_with(folders, uuids), key=lambda shard: shard.parent):
        _rewrite(kind, folder, [shard.name for shard in shards], uuids)
    for key in sorted(work.glob("*/key.json")):
        # What an interrupted job left may hold anything.
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
        left = tars.drop_samples(tar, uuids)
        places = tars.member_places(tar)
        rows = pq.read_table(folder / INDEX, filters=[("shard", "==", name)]).sort_by("position")
        kept = rows.filter(pc.invert(pc.is_in(rows["uuid"], pa.array(sorted(uuids)))))
        assert kept["uuid"].to_pylist() == left, f"{tar}: other samples than in its index"
        spans = [places[f"{uuid}.jpg"] for uuid in left]
        moved = {
            "position": range(len(left)),
            "offset": [span.offset for span in spans],
            "size": [span.size for span in spans],
        }
        for column, values in moved.items():
            kept = kept.set_column(kept.column_names.index(column), column, pa.array(values, pa.int64()))
        indexes[name] = kept
        entries[name] = manifest_row(tar, samples=len(left))
        logger.info("%s: rewritten with %d samples", tar, len(left))

    def groups() -> Iterator[pa.Table]:
        file = pq.ParquetFile(folder / INDEX)
        for number in range(file.num_row_groups):
            group = file.read_row_group(number)
            yield indexes.get(group["shard"][0].as_py(), group)

    manifest = tables.read_rows(folder / MANIFEST, SHARD_MANIFEST).to_pylist()
    rewritten = [entries.get(row["shard"], row) for row in manifest]
    tables.write_rows([row for row in rewritten if row["samples"]], SHARD_MANIFEST, folder / MANIFEST)
    # The index last: it is by the index that an image is still found.
    tables.write_row_groups(groups(), kind.contract, folder / INDEX)
    for name, entry in entries.items():
        if not entry["samples"]:
            (folder / name).unlink()
