"""Ranks of a training: this process's rank, and collective operations."""

import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

logger = logging.getLogger(__name__)

DECISION = "decision"
REPORTS = "reports"
PATIENCE = timedelta(seconds=60)
# How long ranks wait for one that is held up; parallel file systems may stand still for longer than NCCL's ten minutes.
STANDSTILL = timedelta(minutes=30)

# Every group of this process, kept to its end. To free one is to join gloo's threads, which wait for the interpreter to
# drop their tensors; where DDP was the last to hold the group, it held the interpreter, too, and the rank never ended.
_GROUPS: list[object] = []


@dataclass(frozen=True)
class Ranks:
    """This process among the others.

    Attributes:
        rank: its number; 0 is the main rank.
        size: how many there are.
        local_rank: its number on this machine.
        local_size: how many there are on this machine.
        store: what they share before they are a group.
        launched: whether torchrun started it.
    """

    rank: int
    size: int
    local_rank: int
    local_size: int
    store: dist.Store
    launched: bool = False

    @property
    def is_main(self) -> bool:
        """Whether this is the main rank, which decides, writes and logs."""
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        """The GPU of this process, or the CPU where there is none."""
        return torch.device("cuda", self.local_rank) if torch.cuda.is_available() else torch.device("cpu")

    def broadcast(self, decision: dict[str, Any]) -> None:
        """Broadcast the main rank's decision to all others."""
        self.store.set(DECISION, json.dumps(decision))

    def receive(self) -> dict[str, Any]:
        """The main rank's decision; waits as long as it takes (it may be waiting for another run's work)."""
        while True:
            try:
                self.store.wait([DECISION], PATIENCE)
                return dict(json.loads(self.store.get(DECISION)))
            except dist.DistStoreError:
                continue

    def reports_first(self) -> bool:
        """Whether nobody has reported an error yet, so that one error gives one line."""
        return self.store.add(REPORTS, 1) == 1

    @contextmanager
    def group(self) -> Iterator[None]:
        """Join the others: NCCL between GPUs, gloo between CPUs.

        A rank that fails leaves the group to the end of its process. NCCL's orderly end waits for the other ranks, and
        these may wait for this one in a collective: for ten minutes, after which nobody hears what was wrong.
        """
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        backend = "nccl" if self.device.type == "cuda" else "gloo"
        dist.init_process_group(backend, store=self.store, rank=self.rank, world_size=self.size, timeout=STANDSTILL)
        _GROUPS.append(dist.group.WORLD)
        try:
            yield
        except BaseException:
            if self.size == 1:
                dist.destroy_process_group()
            raise
        dist.destroy_process_group()


def find_ranks() -> Ranks:
    """This process's place, from torchrun's environment; without torchrun it is alone."""
    if "RANK" not in os.environ:
        return Ranks(0, 1, 0, 1, dist.HashStore())
    store, rank, size = next(dist.rendezvous("env://"))
    return Ranks(rank, size, int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"]), store, launched=True)


def summed(numbers: Sequence[float], ranks: Ranks) -> list[float]:
    """Sums over ranks, the same on each."""
    if ranks.size == 1:
        return list(numbers)
    sums = torch.tensor(numbers, dtype=torch.float64, device=ranks.device)
    dist.all_reduce(sums)
    return sums.tolist()


def gathered(mine: torch.Tensor, ranks: Ranks) -> torch.Tensor:
    """All ranks' rows, one rank's behind another's; every rank has as many."""
    if ranks.size == 1:
        return mine
    parts = [torch.empty_like(mine) for _ in range(ranks.size)]
    dist.all_gather(parts, mine.contiguous())
    return torch.cat(parts)
