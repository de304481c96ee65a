"""The infinite stream of samples: one epoch after another, each a permutation fixed by (seed, epoch).

An epoch shuffles the shards, then the samples within windows of consecutive shards. Any position is located without
iterating to it, so a training can resume anywhere, with any number of ranks and workers.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Protocol

import numpy as np

from workflow_scripts.common.errors import InputError

# Orders of epochs and windows to cache: consecutive positions share them, and a batch may span two of each.
CACHED_ORDERS = 4


class Order(Protocol):
    """Maps positions of an infinite stream to samples of numbered shards."""

    def __len__(self) -> int:
        """Number of samples."""

    def locate(self, position: int) -> tuple[int, int]:
        """The shard, and the row in it, of any `position` from 0."""


class Stream:
    """Stream over shards; every sample occurs once per epoch.

    Args:
        counts: number of samples of each shard.
        seed: seed of the order, non-negative.
        window: number of shards that are shuffled together.
    """

    def __init__(self, counts: Sequence[int], seed: tuple[int, ...], window: int) -> None:
        self.counts = np.asarray(counts, dtype=np.int64)
        self.samples = int(self.counts.sum())
        self.seed = seed
        self.window = window
        if not self.samples:
            raise InputError("no samples to train on; curate/gNNN/account.json counts the excluded images by reason")
        self._epoch = lru_cache(CACHED_ORDERS)(self._epoch_order)
        self._window = lru_cache(CACHED_ORDERS)(self._window_order)

    def __len__(self) -> int:
        return self.samples

    def locate(self, position: int) -> tuple[int, int]:
        """The shard and the row within it at `position` (0 or more, without end)."""
        epoch, place = divmod(position, self.samples)
        order, ends = self._epoch(epoch)
        number = bisect_right(ends, place) // self.window
        first = number * self.window
        begin = ends[first - 1] if first else 0
        member = begin + int(self._window(epoch, number)[place - begin])
        found = bisect_right(ends, member, first, min(first + self.window, len(ends)))
        return order[found], member - (ends[found - 1] if found else 0)

    def _epoch_order(self, epoch: int) -> tuple[list[int], list[int]]:
        """The epoch's order of shards, and the position after the end of each."""
        order = np.random.default_rng([*self.seed, epoch]).permutation(len(self.counts))
        return order.tolist(), np.cumsum(self.counts[order]).tolist()

    def _window_order(self, epoch: int, number: int) -> np.ndarray:
        order, _ = self._epoch(epoch)
        size = self.counts[order[number * self.window : (number + 1) * self.window]].sum()
        return np.random.default_rng([*self.seed, epoch, number]).permutation(int(size))


class Mixture:
    """Mixture of corpora: each has a fixed share of every batch, and its own epochs.

    Args:
        streams: one stream per corpus; shards are numbered consecutively over the corpora.
        shares: samples of each corpus in a batch.
        seed: seed of the assignment of batch places to corpora.
    """

    def __init__(self, streams: Sequence[Stream], shares: Sequence[int], seed: tuple[int, ...]) -> None:
        self.streams = streams
        self.shares = list(shares)
        self.batch = sum(shares)
        self.first_shards = [0, *accumulate(len(stream.counts) for stream in streams)]
        owners = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(streams)), shares))
        # For each place in a batch: its corpus, and its number among that corpus's places.
        numbers = np.zeros(self.batch, dtype=np.int64)
        for owner, share in enumerate(shares):
            numbers[owners == owner] = np.arange(share)
        self.places = list(zip(owners.tolist(), numbers.tolist(), strict=True))

    def __len__(self) -> int:
        return sum(map(len, self.streams))

    def locate(self, position: int) -> tuple[int, int]:
        """The shard and the row within it at `position` (0 or more, without end)."""
        step, place = divmod(position, self.batch)
        owner, number = self.places[place]
        shard, row = self.streams[owner].locate(step * self.shares[owner] + number)
        return self.first_shards[owner] + shard, row


def shares_of(weights: Sequence[float], batch: int) -> list[int]:
    """Divide a batch among weights, by largest remainder.

    Raises:
        InputError: a weight is too small for a single sample.
    """
    exact = [batch * weight / sum(weights) for weight in weights]
    shares = [int(share) for share in exact]
    by_remainder = sorted(range(len(exact)), key=lambda n: (shares[n] - exact[n], n))
    for n in by_remainder[: batch - sum(shares)]:
        shares[n] += 1
    if 0 in shares:
        raise InputError(
            f"mix: a weight of {weights[shares.index(0)]:g} is less than one of the {batch} pairs of a step; raise it"
        )
    return shares


def steps_of(epochs: float, samples: int, batch: int) -> int:
    """Number of steps for `epochs` passes over `samples`; the last batch is filled up from the next pass."""
    return max(1, math.ceil(epochs * samples / batch))


def rank_positions(step: int, batch: int, rank: int, ranks: int) -> range:
    """Stream positions of one rank at `step` (from 0): a contiguous slice of the global batch.

    Raises:
        InputError: the batch is not divisible by the number of ranks.
    """
    if batch % ranks:
        raise InputError(f"a batch of {batch} is not divisible by {ranks} processes; choose a multiple of {ranks}")
    local = batch // ranks
    first = step * batch + rank * local
    return range(first, first + local)
