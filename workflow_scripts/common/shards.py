"""Shards: webdataset tars of square images, each with a manifest row and an index; written once and resumed.

A sample is `<uuid>.jpg` and one text. Each shard has a work folder of its own, named by its samples, the settings
and the step's version: after an interruption only the shard in hand is written again, and a sample that goes costs one
shard.
"""

import logging
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from workflow_scripts.common import images, tables, tars
from workflow_scripts.common.config.shards import ShardSettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import digest, link, sha256_file
from workflow_scripts.common.step_versions import versioned
from workflow_scripts.common.stored_images import Stored, StoredImages, damaged
from workflow_scripts.common.takedowns import names_any, register
from workflow_scripts.common.work_folder import DONE, exclusive, open_work_folder
from workflow_scripts.contracts import REPLAY_INDEX, SHARD_INDEX, SHARD_MANIFEST, Contract

logger = logging.getLogger(__name__)

TAR, INDEX, MANIFEST = "shard.tar", "index.parquet", "manifest.parquet"
# What libjpeg advises at most: above it files grow and pictures hardly gain.
JPEG_QUALITY = 95
# Encoded images of each thread that may wait for the tar's writer.
AHEAD = 64


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


class Sample(NamedTuple):
    """A sample of a plan: its image, the image's digest before it was stored, and its text."""

    stored: Stored
    md5: str | None
    text: str


class Shard(NamedTuple):
    """A shard of a plan with its samples in order."""

    split: str
    number: int
    samples: Sequence[Sample]

    @property
    def name(self) -> str:
        """The tar's name."""
        return f"shard-{self.number:06d}.tar"


class ShardWriter:
    """Writes shards of one kind, or adopts what was written before.

    Args:
        kind: what their samples have.
        settings: how images are encoded.
        work: where the shards' work folders are.
        step: the step that writes (`stage.module`), whose version belongs to the key.
        pool: threads that decode and encode; they change no byte.
        threads: how many these are.

    Attributes:
        adopted: how many shards were found finished.
    """

    def __init__(
        self, kind: Kind, settings: ShardSettings, work: Path, *, step: str, pool: Executor, threads: int
    ) -> None:
        self.kind = kind
        self.settings = settings
        self.work = work
        self.step = step
        self.adopted = 0
        self._pool = pool
        self._ahead = AHEAD * threads
        self._stored = StoredImages()

    def make(self, shard: Shard, folder: Path) -> Path:
        """Publish the shard's tar in `folder`; returns the work folder, which has its index and manifest row.

        Raises:
            InputError: an image is not where it says; the message names the tar, the byte and the uuid.
        """
        # Original bytes and stored size stand for the image. Its place does not count: a tar that is rewritten without
        # some other image moves it, and a new download may put another one there.
        rows = [[one.stored.uuid, one.text, one.md5, one.stored.size] for one in shard.samples]
        key = {
            "shard": f"{shard.split}/{shard.name}",
            "rows": digest(rows),
            "settings": self.settings.to_json(),
            **versioned(self.step),
        }
        with open_work_folder(self.work, key) as work:
            if work.finished:
                self.adopted += 1
            else:
                self._write(work.path, shard)
                work.finish([TAR, INDEX, MANIFEST])
            tar, target = work.path / TAR, folder / shard.name
            if not (target.exists() and target.samefile(tar)):
                link(tar, target)
        return work.path

    def _write(self, folder: Path, shard: Shard) -> None:
        """Write a shard's tar, index and manifest; a bounded number of encoded images is held."""
        for sample in shard.samples:
            if "." in sample.stored.uuid or "/" in sample.stored.uuid:
                raise InputError(f"uuid {sample.stored.uuid!r}: must have no dots and slashes, for it names a member")
        written: list[Sample] = []

        def encoded() -> Iterator[tuple[str, dict[str, bytes]]]:
            for start in range(0, len(shard.samples), self._ahead):
                some = shard.samples[start : start + self._ahead]
                for sample, jpeg in zip(some, self._pool.map(self._jpeg, some), strict=True):
                    if jpeg is not None:
                        written.append(sample)
                        yield sample.stored.uuid, {"jpg": jpeg, self.kind.extension: sample.text.encode()}

        places = [members["jpg"] for members in tars.write_tar(folder / TAR, encoded())]
        index = {
            "uuid": [sample.stored.uuid for sample in written],
            "shard": [shard.name] * len(written),
            "position": range(len(written)),
            "offset": [place.offset for place in places],
            "size": [place.size for place in places],
            self.kind.column: [sample.text for sample in written],
        }
        tables.write_row_groups([pa.table(index)], self.kind.contract, folder / INDEX)
        entry = manifest_row(folder / TAR, samples=len(written), name=shard.name)
        tables.write_rows([entry], SHARD_MANIFEST, folder / MANIFEST)

    def _jpeg(self, sample: Sample) -> bytes | None:
        """The image as the recipe's square; None where it cannot be decoded and the kind allows that."""
        settings = self.settings
        data = self._stored.read(sample.stored)
        try:
            image = images.decode(data, at_least=settings.image_size)
        except images.UnreadableImage as error:
            problem = damaged(sample.stored, str(error))
            if not self.kind.drop_unreadable:
                raise problem from None
            logger.warning("%s; left out", problem)
            return None
        return images.encode_jpeg(images.to_square(image, settings.image_size, settings.resize), JPEG_QUALITY)


def manifest_row(tar: Path, *, samples: int, name: str | None = None) -> dict[str, Any]:
    """What a manifest (contract SHARD_MANIFEST) says of a tar, which may be published under another name."""
    return {
        "shard": name or tar.name,
        "samples": samples,
        "bytes": tar.stat().st_size,
        "sha256": sha256_file(tar),
    }


def read_index(work: Path) -> pa.Table:
    """The index that `ShardWriter.make` left in a work folder."""
    return pq.read_table(work / INDEX)


def read_manifest(work: Path) -> dict[str, Any]:
    """The manifest's row that `ShardWriter.make` left in a work folder."""
    return dict(pq.read_table(work / MANIFEST).to_pylist()[0])


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
