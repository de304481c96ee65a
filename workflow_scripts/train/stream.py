"""The endless stream of samples: epoch after epoch, each a permutation fixed by (seed, epoch).

An epoch shuffles the shards, and then the samples within windows of consecutive shards. Position p of the stream is
found without walking to it, so a run can resume anywhere, with any number of ranks and workers.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from workflow_scripts.common.errors import InputError

# An epoch's order and a window's permutation are needed for many positions in a row; two windows may meet in a batch.
KEPT_ORDERS = 4


class Stream:
    """Positions of an endless stream over shards.

    Args:
        counts: samples a shard.
        seed: fixes the order; numbers of 0 or more.
        window: shards that are shuffled together.
    """

    def __init__(self, counts: Sequence[int], seed: tuple[int, ...], window: int) -> None:
        self.counts = np.asarray(counts, dtype=np.int64)
        self.samples = int(self.counts.sum())
        self.seed = seed
        self.window = window
        if not self.samples:
            raise InputError("no samples to train on")
        self._epoch = lru_cache(KEPT_ORDERS)(self._epoch_order)
        self._window = lru_cache(KEPT_ORDERS)(self._window_order)

    def __len__(self) -> int:
        return self.samples

    def locate(self, position: int) -> tuple[int, int]:
        """The shard and the row within it at `position` (0 or more, without end)."""
        epoch, place = divmod(position, self.samples)
        order, ends = self._epoch(epoch)
        number = int(np.searchsorted(ends, place, side="right")) // self.window
        first = number * self.window
        begin = int(ends[first - 1]) if first else 0
        member = begin + int(self._window(epoch, number)[place - begin])
        found = int(np.searchsorted(ends, member, side="right"))
        return int(order[found]), member - (int(ends[found - 1]) if found else 0)

    def _epoch_order(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """The shards in this epoch's order, and where each ends in the epoch."""
        order = np.random.default_rng([*self.seed, epoch]).permutation(len(self.counts))
        return order, np.cumsum(self.counts[order])

    def _window_order(self, epoch: int, number: int) -> np.ndarray:
        order, _ = self._epoch(epoch)
        size = self.counts[order[number * self.window : (number + 1) * self.window]].sum()
        return np.random.default_rng([*self.seed, epoch, number]).permutation(int(size))


def steps_of(epochs: float, samples: int, batch: int) -> int:
    """Steps of a training: enough for `epochs` passes over `samples`, the last step filled up from the next pass."""
    return max(1, math.ceil(epochs * samples / batch))


def rank_positions(step: int, batch: int, rank: int, ranks: int) -> range:
    """Positions that one rank takes at `step` (from 0): its contiguous part of the global batch.

    Raises:
        InputError: the batch cannot be shared equally.
    """
    if batch % ranks:
        raise InputError(f"a batch of {batch} cannot be shared equally by {ranks} processes; choose a multiple")
    part = batch // ranks
    first = step * batch + rank * part
    return range(first, first + part)
