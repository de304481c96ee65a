"""Requests to stop the training, agreed on by all ranks."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from workflow_scripts.train.ranks import Ranks, sum_over_ranks

# Slurm sends SIGUSR1 shortly before the job's time limit (--signal=USR1@SECONDS).
STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


class StopRequests:
    """Counts the stop signals that this process received.

    Args:
        ranks: this process and its peers.
    """

    def __init__(self, ranks: Ranks) -> None:
        self.ranks = ranks
        self.count = 0

    def any_rank_stopped(self) -> bool:
        """Whether any rank received a stop signal. A collective: every rank must call it."""
        return sum_over_ranks([self.count], self.ranks)[0] > 0


@contextmanager
def stop_requests(ranks: Ranks) -> Iterator[StopRequests]:
    """Count SIGTERM, SIGUSR1 and SIGINT in the block instead of exiting on them."""
    requests = StopRequests(ranks)

    def count(number: int, frame: FrameType | None) -> None:
        requests.count += 1

    before = {number: signal.signal(number, count) for number in STOP_SIGNALS}
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
