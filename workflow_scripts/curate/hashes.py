"""Exact search for near perceptual hashes. Hashes are uint8 arrays of shape (n, 32)."""

from collections.abc import Iterator
from typing import NamedTuple

import faiss
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from workflow_scripts.common.pdq_distance import BITS, MAX_DISTANCE

# More pieces than bits that may differ: near hashes share at least one piece, so the search is exact.
PIECES = MAX_DISTANCE + 1
PIECE_BITS = BITS // PIECES

Hashes = NDArray[np.uint8]


class Match(NamedTuple):
    """Two near hashes: their numbers, and how many bits differ."""

    query: int
    reference: int
    distance: int


def unpacked(pdq: pa.Array) -> Hashes:
    """Hashes from a column of texts with 64 hex digits."""
    digits = "".join(pdq.to_pylist())
    return np.frombuffer(bytes.fromhex(digits), np.uint8).reshape(-1, BITS // 8)


class NearHashes:
    """Finds every reference hash within `MAX_DISTANCE` of a query, by exact multi-index hashing.

    Args:
        references: the hashes to find; memory grows with their number, not with that of the queries.
    """

    def __init__(self, references: Hashes) -> None:
        self._index = faiss.IndexBinaryMultiHash(BITS, PIECES, PIECE_BITS)
        self._index.nflip = 0
        if len(references):
            self._index.add(np.ascontiguousarray(references))

    def near(self, queries: Hashes) -> Iterator[Match]:
        """Yield all matches, sorted by query, then by reference."""
        if not len(queries) or not self._index.ntotal:
            return
        # A range search excludes its radius.
        limits, distances, references = self._index.range_search(np.ascontiguousarray(queries), MAX_DISTANCE + 1)
        found = np.repeat(np.arange(len(queries)), limits[1:].astype(np.int64) - limits[:-1].astype(np.int64))
        order = np.lexsort((references, found))
        for query, reference, distance in zip(found[order], references[order], distances[order], strict=True):
            yield Match(int(query), int(reference), int(distance))


def use_threads(threads: int) -> None:
    """Set the number of faiss's threads; no effect on results."""
    faiss.omp_set_num_threads(threads)
