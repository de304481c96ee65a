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
from workflow_scripts.common.remedies import snakemake
from workflow_scripts.contracts import REFERENCE_INDEX, SHARD_MANIFEST, TEXT_TYPES, Contract
from workflow_scripts.train.staging import Stage
from workflow_scripts.train.texts import TextKey

MANIFEST = "manifest.parquet"
INDEX = "index.parquet"
# Open files and shards' rows kept by a reader, beyond the window that it reads in.
SPARE = 2


@dataclass(frozen=True)
class Shard:
    """A tar, the index that says where its samples are, and how many there are.

    Attributes:
        tar: the file.
        index: the index of its folder.
        samples: how many.
        layout: the contract that the index keeps.
        corpus: the number of the corpus that it belongs to.
    """

    tar: Path
    index: Path
    samples: int
    layout: Contract
    corpus: int = 0


@dataclass(frozen=True)
class Rows:
    """The samples of one shard.

    Attributes:
        offsets: where images begin, bytes.
        sizes: of the images, bytes.
        uuids: who they are.
        texts: columns that their text is found by.
        members: in the published layout, where captions begin and their sizes, bytes, by text type.
    """

    offsets: np.ndarray
    sizes: np.ndarray
    uuids: pa.Array
    texts: Sequence[pa.Array]
    members: dict[str, tuple[np.ndarray, np.ndarray]]


def list_shards(folders: Sequence[Path], layout: Contract, corpus: int = 0) -> list[Shard]:
    """The shards of some folders, in the order of the folders and then by name."""
    shards = []
    for folder in folders:
        manifest = pq.read_table(folder / MANIFEST, columns=["shard", "samples"]).sort_by("shard").to_pydict()
        for name, samples in zip(manifest["shard"], manifest["samples"], strict=True):
            shards.append(Shard(folder / name, folder / INDEX, samples, layout, corpus))
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
                raise InputError(
                    f"{tar}: missing (named in {MANIFEST}); `{snakemake('verify')}` says how to make it again"
                )
            if tar.stat().st_size != size:
                raise InputError(
                    f"{tar}: {tar.stat().st_size} bytes, {MANIFEST} has {size}; see `{snakemake('verify')}`"
                )


class Footer:
    """What the end of an index says.

    Attributes:
        metadata: its row groups, as pyarrow wants them.
        shards: the least and the greatest shard name of each row group.
    """

    def __init__(self, index: Path) -> None:
        self.metadata = pq.read_metadata(index)
        column = self.metadata.schema.names.index("shard")
        groups = [self.metadata.row_group(n).column(column).statistics for n in range(self.metadata.num_row_groups)]
        self.shards = [(str(group.min), str(group.max)) for group in groups]


class SampleReader:
    """Reads samples of shards by number. Belongs to one process.

    Args:
        shards: as `list_shards` gives them.
        columns: of the index, by corpus, that a sample's text is found by; one that an index lacks is null. In the
            published layout the tar's own members hold it.
        window: shards that are read at a time; this many are kept open.
        stage: where shards are copied to before they are read, or None.
    """

    def __init__(
        self, shards: Sequence[Shard], columns: Sequence[Sequence[str]], window: int, stage: Stage | None = None
    ) -> None:
        self.shards = shards
        self.columns = columns
        self.stage = stage
        self.kept = window + SPARE
        self.rows = lru_cache(self.kept)(self._rows)
        self._files: OrderedDict[int, int] = OrderedDict()
        # Read once, before workers are forked: a footer tells of every shard of a corpus.
        self._footers = {index: Footer(index) for index in {shard.index: None for shard in shards}}

    def image(self, shard: int, row: int) -> bytes:
        """The encoded image of a sample.

        Raises:
            ValueError: the tar ends before the sample does.
        """
        rows = self.rows(shard)
        return self._read(shard, int(rows.offsets[row]), int(rows.sizes[row]))

    def text_key(self, shard: int, row: int, text_type: str) -> TextKey:
        """What a sample's text is found by.

        Raises:
            ValueError: the tar ends before the caption does, or it is no UTF-8.
        """
        rows = self.rows(shard)
        if not rows.members:
            return tuple(column[row].as_py() for column in rows.texts)
        offsets, sizes = rows.members[text_type]
        return (self._read(shard, int(offsets[row]), int(sizes[row])).decode().strip(),)

    def _read(self, shard: int, offset: int, size: int) -> bytes:
        data = os.pread(self._file(shard), size, offset)
        if len(data) != size:
            raise ValueError(f"{len(data)} of {size} bytes")
        return data

    def _file(self, shard: int) -> int:
        if shard not in self._files:
            tar = self.shards[shard].tar
            self._files[shard] = self.stage.open(tar) if self.stage else os.open(tar, os.O_RDONLY)
            if len(self._files) > self.kept:
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
