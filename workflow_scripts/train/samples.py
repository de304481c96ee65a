"""Samples in indexed tars, read by byte offset: nothing is scanned, only what is wanted is read."""

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
from workflow_scripts.contracts import SHARD_MANIFEST, Contract

MANIFEST = "manifest.parquet"
INDEX = "index.parquet"
# Open files and shards' rows kept by a reader, beyond the window that it reads in.
SPARE = 2


@dataclass(frozen=True)
class Shard:
    """A tar, the index that says where its samples are, and how many there are."""

    tar: Path
    index: Path
    samples: int


@dataclass(frozen=True)
class Rows:
    """The samples of one shard: data offsets and sizes in bytes, uuids, and the columns that their text is found by."""

    offsets: np.ndarray
    sizes: np.ndarray
    uuids: pa.ChunkedArray
    texts: Sequence[pa.ChunkedArray]

    def text_key(self, row: int) -> tuple[str | None, ...]:
        """What a sample's text is found by."""
        return tuple(column[row].as_py() for column in self.texts)


def list_shards(folders: Sequence[Path]) -> list[Shard]:
    """The shards of some folders, in the order of the folders and then by name."""
    shards = []
    for folder in folders:
        manifest = pq.read_table(folder / MANIFEST, columns=["shard", "samples"]).sort_by("shard").to_pydict()
        for name, samples in zip(manifest["shard"], manifest["samples"], strict=True):
            shards.append(Shard(folder / name, folder / INDEX, samples))
    return [shard for shard in shards if shard.samples]


def check(folder: Path, contract: Contract) -> None:
    """Check a folder of shards: manifest and index keep their contracts, agree, and the tars have their sizes.

    Raises:
        InputError: what is wrong, in which file.
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
            raise InputError(f"{folder / INDEX}: {found} samples of {shard}, the manifest has {expected}")
        for shard, size in connection.sql("SELECT shard, bytes FROM manifest ORDER BY shard").fetchall():
            tar = folder / shard
            if Path(shard).name != shard or not tar.is_file():
                raise InputError(f"{tar}: missing (named in {MANIFEST}); build the shards again")
            if tar.stat().st_size != size:
                raise InputError(f"{tar}: {tar.stat().st_size} bytes, {MANIFEST} has {size}; build the shards again")


class SampleReader:
    """Reads samples of shards by number. Belongs to one process.

    Args:
        shards: as `list_shards` gives them.
        text: the index columns that a sample's text is found by; one that an index lacks is null.
        window: shards that are read at a time; this many are kept open.
    """

    def __init__(self, shards: Sequence[Shard], text: Sequence[str], window: int) -> None:
        self.shards = shards
        self.text = text
        self.kept = window + SPARE
        self.rows = lru_cache(self.kept)(self._rows)
        self._files: OrderedDict[int, int] = OrderedDict()
        self._groups: dict[Path, list[tuple[str, str]]] = {}

    def image(self, shard: int, row: int) -> bytes:
        """The encoded image of a sample.

        Raises:
            ValueError: the tar ends before the sample does.
        """
        rows = self.rows(shard)
        size = int(rows.sizes[row])
        data = os.pread(self._file(shard), size, int(rows.offsets[row]))
        if len(data) != size:
            raise ValueError(f"{len(data)} of {size} bytes")
        return data

    def _file(self, shard: int) -> int:
        if shard not in self._files:
            self._files[shard] = os.open(self.shards[shard].tar, os.O_RDONLY)
            if len(self._files) > self.kept:
                os.close(self._files.popitem(last=False)[1])
        self._files.move_to_end(shard)
        return self._files[shard]

    def _rows(self, shard: int) -> Rows:
        tar, index = self.shards[shard].tar, self.shards[shard].index
        with pq.ParquetFile(index) as file:
            wanted = [n for n, (least, most) in enumerate(self._ranges(file, index)) if least <= tar.name <= most]
            texts = [name for name in self.text if name in file.schema_arrow.names]
            table = file.read_row_groups(wanted, columns=["uuid", "shard", "position", "offset", "size", *texts])
        table = table.filter(pc.equal(table["shard"], tar.name)).sort_by("position").combine_chunks()
        offsets, sizes = table["offset"].to_numpy(), table["size"].to_numpy()
        empty = pa.chunked_array([pa.nulls(len(table), pa.string())])
        return Rows(offsets, sizes, table["uuid"], [table[name] if name in texts else empty for name in self.text])

    def _ranges(self, file: pq.ParquetFile, index: Path) -> list[tuple[str, str]]:
        """The least and greatest shard name of each row group of an index."""
        if index not in self._groups:
            column = file.schema_arrow.get_field_index("shard")
            groups = [file.metadata.row_group(n).column(column).statistics for n in range(file.num_row_groups)]
            self._groups[index] = [(str(group.min), str(group.max)) for group in groups]
        return self._groups[index]
