"""Write shards: square images in one encoding, in tars that can be resumed and adopted.

Each shard has its own work folder, named by its samples, the settings and the step's version. After an interruption,
only the unfinished shard is rewritten; removing a sample rewrites one shard.
"""

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from workflow_scripts.common import images, tables, tars
from workflow_scripts.common.config.shards import ShardSettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import digest, link
from workflow_scripts.common.shards import INDEX, MANIFEST, TAR, Kind, manifest_row
from workflow_scripts.common.step_versions import versioned
from workflow_scripts.common.stored_images import Stored, StoredImages, damaged
from workflow_scripts.common.work_folder import open_work_folder
from workflow_scripts.contracts import SHARD_MANIFEST

logger = logging.getLogger(__name__)

# The maximum that libjpeg recommends: above it, files grow with hardly any gain in quality.
JPEG_QUALITY = 95
# Encoded images per thread that may wait to be written.
AHEAD = 64


class Sample(NamedTuple):
    """A sample of a plan: its image, the MD5 of the original bytes, and its text."""

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
        """Name of the tar."""
        return f"shard-{self.number:06d}.tar"


class ShardWriter:
    """Writes shards of one kind, or adopts finished ones.

    Args:
        kind: the kind of samples.
        settings: encoding of the images.
        work: folder of the shards' work folders.
        step: the step that writes (`stage.module`), whose version is part of the key.
        pool: threads that decode and encode; they do not affect the bytes.
        threads: number of these threads.

    Attributes:
        adopted: number of adopted shards.
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
        """Publish the shard's tar in `folder`; return the work folder, which has its index and manifest row.

        Raises:
            InputError: an image is not at its place; the message names the tar, the byte and the uuid.
        """
        # An image is identified by the MD5 of its original bytes and its stored size, not by its place, which changes
        # when a tar is rewritten or downloaded again.
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
        """Write a shard's tar, index and manifest, with a bounded number of encoded images in memory."""
        for sample in shard.samples:
            if "." in sample.stored.uuid or "/" in sample.stored.uuid:
                raise InputError(f"uuid {sample.stored.uuid!r}: must not contain dots or slashes")
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
        """The image as a square JPEG; None if it cannot be decoded and the kind allows that."""
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


def read_index(work: Path) -> pa.Table:
    """The index that `ShardWriter.make` wrote to a work folder."""
    return pq.read_table(work / INDEX)


def read_manifest(work: Path) -> dict[str, Any]:
    """The manifest row that `ShardWriter.make` wrote to a work folder."""
    return dict(pq.read_table(work / MANIFEST).to_pylist()[0])
