"""Random access to samples in indexed tars, by byte offset."""

import os
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from workflow_scripts.common import tables
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.remedies import snakemake
from workflow_scripts.contracts import REFERENCE_INDEX, SHARD_MANIFEST, TEXT_TYPES, Contract
from workflow_scripts.train.staging import StagingArea
from workflow_scripts.train.texts import TextKey

MANIFEST = "manifest.parquet"
INDEX = "index.parquet"
# Shards that a reader keeps open beyond its shuffle window.
SPARE_SHARDS = 2


@dataclass(frozen=True)
class Shard:
    """A shard and its index.

    Attributes:
        tar: the tar file.
        index: the index table of its folder.
        samples: number of samples.
        layout: the contract of the index.
        corpus: number of the corpus it belongs to.
    """

    tar: Path
    index: Path
    samples: int
    layout: Contract
    corpus: int = 0


@dataclass(frozen=True)
class Rows:
    """The index rows of one shard, in the order of its samples.

    Attributes:
        offsets: offsets of the images in the tar, bytes.
        sizes: sizes of the images, bytes.
        uuids: uuids of the samples.
        texts: columns of the samples' text keys.
        members: in the published layout, offsets and sizes of the captions, bytes, by text type.
    """

    offsets: np.ndarray
    sizes: np.ndarray
    uuids: pa.Array
    texts: Sequence[pa.Array]
    members: dict[str, tuple[np.ndarray, np.ndarray]]


def list_shards(folders: Sequence[Path], layout: Contract, corpus: int = 0) -> list[Shard]:
    """The non-empty shards of some folders, in the order of the folders and then by name."""
    shards = []
    for folder in folders:
        manifest = pq.read_table(folder / MANIFEST, columns=["shard", "samples"]).sort_by("shard").to_pydict()
        for name, samples in zip(manifest["shard"], manifest["samples"], strict=True):
            shards.append(Shard(folder / name, folder / INDEX, samples, layout, corpus))
    return [shard for shard in shards if shard.samples]


def check(folder: Path, contract: Contract) -> None:
    """Check a folder of shards: contracts of manifest and index, sample counts, and sizes of the tars.

    Raises:
        InputError: a check fails; the message names the file.
    """
    with tables.connect() as connection:
        tables.read(connection, folder / MANIFEST, SHARD_MANIFEST, "manifest")
        tables.read(connection, folder / INDEX, contract, "index")
        for shard, expected, found in connection.sql(
            """
            SELECT coalesce(manifest.shard, counted.shard), coalesce(samples, 0), coalesce(n, 0)
            FROM manifest FULL JOIN (SELECT shard, count(*) AS n FROM index GROUP BY shard) AS counted USING (shard)
            WHERE coalesce(samples, 0) != coalesce(n, 0)
            ORDER BY ALL LIMIT 1
            """
        ).fetchall():
            raise InputError(f"{folder / INDEX}: expected {expected} samples of {shard} (by {MANIFEST}), found {found}")
        for shard, size in connection.sql("SELECT shard, bytes FROM manifest ORDER BY shard").fetchall():
            tar = folder / shard
            if Path(shard).name != shard or not tar.is_file():
                raise InputError(
                    f"{tar}: missing (listed in {MANIFEST}); `{snakemake('verify')}` says how to rebuild it"
                )
            if tar.stat().st_size != size:
                raise InputError(
                    f"{tar}: size mismatch: expected {size} bytes (by {MANIFEST}), found {tar.stat().st_size}; "
                    f"`{snakemake('verify')}` says how to rebuild it"
                )


class Footer:
    """The parquet footer of an index.

    Attributes:
        metadata: pyarrow's file metadata.
        shards: minimum and maximum shard name of each row group.
    """

    def __init__(self, index: Path) -> None:
        self.metadata = pq.read_metadata(index)
        column = self.metadata.schema.names.index("shard")
        groups = [self.metadata.row_group(n).column(column).statistics for n in range(self.metadata.num_row_groups)]
        self.shards = [(str(group.min), str(group.max)) for group in groups]


class SampleReader:
    """Reads samples by shard number and row. Not shared between processes.

    Args:
        shards: shards from `list_shards`.
        columns: for each corpus, the index columns of the text key; a column missing from an index is null. Not used
            for the published layout, whose captions are in the tars.
        window: number of shards read at a time, which are kept open.
        staging: local copies of shards; None reads them in place.
    """

    def __init__(
        self, shards: Sequence[Shard], columns: Sequence[Sequence[str]], window: int, staging: StagingArea | None = None
    ) -> None:
        self.shards = shards
        self.columns = columns
        self.staging = staging
        self.max_open = window + SPARE_SHARDS
        self.rows = lru_cache(self.max_open)(self._rows)
        self._files: OrderedDict[int, int] = OrderedDict()
        # Read once, before workers are forked: one footer covers all shards of a folder.
        self._footers = {index: Footer(index) for index in {shard.index: None for shard in shards}}

    def image(self, shard: int, row: int) -> bytes:
        """The encoded image of a sample.

        Raises:
            ValueError: the tar ends before the sample does.
        """
        rows = self.rows(shard)
        return self._read(shard, int(rows.offsets[row]), int(rows.sizes[row]))

    def text_key(self, shard: int, row: int, text_type: str) -> TextKey:
        """The text key of a sample: its label_id and kept columns, or its caption.

        Raises:
            ValueError: the tar ends before the caption does, or the caption is not UTF-8.
        """
        rows = self.rows(shard)
        if not rows.members:
            return tuple(column[row].as_py() for column in rows.texts)
        offsets, sizes = rows.members[text_type]
        return (self._read(shard, int(offsets[row]), int(sizes[row])).decode().strip(),)

    def _read(self, shard: int, offset: int, size: int) -> bytes:
        data = os.pread(self._file(shard), size, offset)
        if len(data) != size:
            raise ValueError(f"expected {size} bytes at offset {offset}, found {len(data)}")
        return data

    def _file(self, shard: int) -> int:
        if shard not in self._files:
            tar = self.shards[shard].tar
            self._files[shard] = self.staging.open(tar) if self.staging else os.open(tar, os.O_RDONLY)
            if len(self._files) > self.max_open:
                os.close(self._files.popitem(last=False)[1])
        self._files.move_to_end(shard)
        return self._files[shard]

    def _rows(self, number: int) -> Rows:
        shard = self.shards[number]
        captions = TEXT_TYPES if shard.layout is REFERENCE_INDEX else ()
        texts = () if captions else self.columns[shard.corpus]
        footer = self._footers[shard.index]
        with pq.ParquetFile(shard.index, metadata=footer.metadata) as file:
            wanted = [n for n, (least, most) in enumerate(footer.shards) if least <= shard.tar.name <= most]
            columns = ["uuid", "shard", "position", "offset", "size"]
            columns += [f"{text_type}_{place}" for text_type in captions for place in ("offset", "size")]
            columns += [name for name in texts if name in file.schema_arrow.names]
            table = file.read_row_groups(wanted, columns=columns)
        table = table.filter(pc.equal(table["shard"], shard.tar.name)).sort_by("position")
        found = {name: table[name].combine_chunks() for name in table.column_names}
        return Rows(
            found["offset"].to_numpy(),
            found["size"].to_numpy(),
            found["uuid"],
            [found[name] if name in found else pa.nulls(len(table)) for name in texts],
            {name: (found[f"{name}_offset"].to_numpy(), found[f"{name}_size"].to_numpy()) for name in captions},
        )
