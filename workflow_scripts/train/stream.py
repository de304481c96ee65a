"""The endless stream of samples: epoch after epoch, each a permutation fixed by (seed, epoch).

An epoch shuffles the shards, and then the samples within windows of consecutive shards. Position p of the stream is
found without walking to it, so a run can resume anywhere, with any number of ranks and workers.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Protocol

import numpy as np

from workflow_scripts.common.errors import InputError

# An epoch's order and a window's permutation are needed for many positions in a row; two windows may meet in a batch.
KEPT_ORDERS = 4


class Order(Protocol):
    """Positions of an endless stream over numbered shards."""

    def __len__(self) -> int:
        """Samples of one pass over everything."""

    def locate(self, position: int) -> tuple[int, int]:
        """The shard and the row within it at `position` (0 or more, without end)."""


class Stream:
    """One corpus: every sample once an epoch.

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
            raise InputError("no samples to train on; curate/gNNN/account.json has the reasons")
        self._epoch = lru_cache(KEPT_ORDERS)(self._epoch_order)
        self._window = lru_cache(KEPT_ORDERS)(self._window_order)

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
        """The shards in this epoch's order, and where each ends in the epoch."""
        order = np.random.default_rng([*self.seed, epoch]).permutation(len(self.counts))
        return order.tolist(), np.cumsum(self.counts[order]).tolist()

    def _window_order(self, epoch: int, number: int) -> np.ndarray:
        order, _ = self._epoch(epoch)
        size = self.counts[order[number * self.window : (number + 1) * self.window]].sum()
        return np.random.default_rng([*self.seed, epoch, number]).permutation(int(size))


class Mixture:
    """Several corpora, each with its fixed share of every batch and in its own order of epochs.

    Args:
        streams: the corpora; their shards are numbered one corpus after the other.
        shares: samples of each in a batch.
        seed: fixes which places of a batch are whose.
    """

    def __init__(self, streams: Sequence[Stream], shares: Sequence[int], seed: tuple[int, ...]) -> None:
        self.streams = streams
        self.shares = list(shares)
        self.batch = sum(shares)
        self.first_shards = [0, *accumulate(len(stream.counts) for stream in streams)]
        owners = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(streams)), shares))
        # Of each place in a batch: whose it is, and the how-manieth of its owner's.
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
    """How many samples of a batch each weight stands for: as near as whole numbers come, at least one each.

    Raises:
        InputError: the batch has no place for one of them.
    """
    exact = [batch * weight / sum(weights) for weight in weights]
    shares = [int(share) for share in exact]
    by_rest = sorted(range(len(exact)), key=lambda n: (shares[n] - exact[n], n))
    for n in by_rest[: batch - sum(shares)]:
        shares[n] += 1
    if 0 in shares:
        raise InputError(
            f"mix: a weight of {weights[shares.index(0)]:g} is less than one of the {batch} pairs of a step; raise it"
        )
    return shares


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
