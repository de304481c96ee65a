"""Requests to stop, on which all ranks agree."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from workflow_scripts.train.ranks import Ranks, summed

# SIGUSR1 is Slurm's warning that the time is nearly up.
STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


class StopRequests:
    """How often this process was asked to stop.

    Args:
        ranks: this process among the others.
    """

    def __init__(self, ranks: Ranks) -> None:
        self.ranks = ranks
        self.count = 0

    def reached_anybody(self) -> bool:
        """Whether any rank was asked to stop. Every rank must ask; all get the same answer."""
        return summed([self.count], self.ranks)[0] > 0


@contextmanager
def stop_requests(ranks: Ranks) -> Iterator[StopRequests]:
    """Count SIGTERM, SIGUSR1 and Ctrl-C, instead of letting them end the process."""
    requests = StopRequests(ranks)

    def note(number: int, frame: FrameType | None) -> None:
        requests.count += 1

    before = {number: signal.signal(number, note) for number in STOP_SIGNALS}
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
