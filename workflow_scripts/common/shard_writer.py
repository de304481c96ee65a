"""Writing of shards: square images of one encoding, in tars that can be resumed and adopted.

Each shard has a work folder of its own, named by its samples, the settings and the step's version: after an
interruption only the shard in hand is written again, and a sample that goes costs one shard.
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

# What libjpeg advises at most: above it files grow and pictures hardly gain.
JPEG_QUALITY = 95
# Encoded images of each thread that may wait for the tar's writer.
AHEAD = 64


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


def read_index(work: Path) -> pa.Table:
    """The index that `ShardWriter.make` left in a work folder."""
    return pq.read_table(work / INDEX)


def read_manifest(work: Path) -> dict[str, Any]:
    """The manifest's row that `ShardWriter.make` left in a work folder."""
    return dict(pq.read_table(work / MANIFEST).to_pylist()[0])
