"""Ranks of a training: this process's rank, the main rank's broadcast, and collective operations."""

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
POLL_TIMEOUT = timedelta(seconds=60)
# A parallel file system can stall a rank for longer than NCCL's default of ten minutes.
COLLECTIVE_TIMEOUT = timedelta(minutes=30)

# Keep every process group until the process exits. Freeing one joins gloo's threads, which need the GIL to drop their
# tensors; when DDP frees the last reference it holds the GIL, and the rank deadlocks.
_GROUPS: list[object] = []


@dataclass(frozen=True)
class Ranks:
    """This process's rank and the number of ranks.

    Attributes:
        rank: rank of this process; 0 is the main rank.
        size: number of ranks.
        local_rank: rank on this machine.
        local_size: number of ranks on this machine.
        store: key-value store shared before the process group exists.
        launched: whether torchrun started this process.
    """

    rank: int
    size: int
    local_rank: int
    local_size: int
    store: dist.Store
    launched: bool = False

    @property
    def is_main(self) -> bool:
        """Whether this is the main rank, which checks the input, writes files and logs."""
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        """This process's GPU, or the CPU if there is none."""
        return torch.device("cuda", self.local_rank) if torch.cuda.is_available() else torch.device("cpu")

    def broadcast(self, decision: dict[str, Any]) -> None:
        """Send the main rank's decision to all other ranks."""
        self.store.set(DECISION, json.dumps(decision))

    def receive(self) -> dict[str, Any]:
        """Wait, without a time limit, for the main rank's decision (it may be waiting for another run's lock)."""
        while True:
            try:
                self.store.wait([DECISION], POLL_TIMEOUT)
                return dict(json.loads(self.store.get(DECISION)))
            except dist.DistStoreError:
                continue

    def claim_report(self) -> bool:
        """Claim the error report: True on the first call of any rank, so that one error prints one line."""
        return self.store.add(REPORTS, 1) == 1

    @contextmanager
    def process_group(self) -> Iterator[None]:
        """Initialise the process group: NCCL between GPUs, gloo between CPUs.

        A rank that fails does not destroy the group: NCCL's shutdown waits for the other ranks, which may be waiting
        for this one in a collective, and the error would stay hidden until the timeout.
        """
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        backend = "nccl" if self.device.type == "cuda" else "gloo"
        dist.init_process_group(
            backend, store=self.store, rank=self.rank, world_size=self.size, timeout=COLLECTIVE_TIMEOUT
        )
        _GROUPS.append(dist.group.WORLD)
        try:
            yield
        except BaseException:
            if self.size == 1:
                dist.destroy_process_group()
            raise
        dist.destroy_process_group()


def find_ranks() -> Ranks:
    """This process's ranks from torchrun's environment; a single rank without torchrun."""
    if "RANK" not in os.environ:
        return Ranks(0, 1, 0, 1, dist.HashStore())
    store, rank, size = next(dist.rendezvous("env://"))
    return Ranks(rank, size, int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"]), store, launched=True)


def sum_over_ranks(numbers: Sequence[float], ranks: Ranks) -> list[float]:
    """Elementwise sums over all ranks, equal on every rank."""
    if ranks.size == 1:
        return list(numbers)
    sums = torch.tensor(numbers, dtype=torch.float64, device=ranks.device)
    dist.all_reduce(sums)
    return sums.tolist()


def gather_over_ranks(local: torch.Tensor, ranks: Ranks) -> torch.Tensor:
    """Concatenate the rows of all ranks, in rank order; every rank has the same number of rows."""
    if ranks.size == 1:
        return local
    gathered = [torch.empty_like(local) for _ in range(ranks.size)]
    dist.all_gather(gathered, local.contiguous())
    return torch.cat(gathered)
