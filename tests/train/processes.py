"""Run the ranks of a training in separate processes."""

import multiprocessing
import os
import socket
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from typing import Any

from workflow_scripts.common.config.train import TrainSettings

CONTEXT = multiprocessing.get_context("forkserver")
# Ranks are forked by a server process that has imported the trainer. Forked from pytest's own process, they would crash
# because of the threads that other tests have started there.
CONTEXT.set_forkserver_preload(["pytest", "workflow_scripts.train.run"])


def settings_for(steps: int, **changes: Any) -> TrainSettings:
    """Settings of a training on the test corpus, of 40 pairs, that takes this many steps."""
    return TrainSettings(
        epochs=steps * 8 / 40,
        global_batch=8,
        replay_batch=4,
        lr=1e-3,
        warmup_steps=4,
        precision="fp32",
        allow_cpu=True,
        deterministic=True,
        **changes,
    )


def start_together(ranks: int, changed: Callable[[], object] | None = None, **training: Any) -> list[BaseProcess]:
    """Start the ranks of a training as torchrun does, without starting Python anew.

    Args:
        ranks: number of ranks.
        changed: called first on each rank.
        training: arguments of `train_model`.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    processes = [CONTEXT.Process(target=_rank, args=(rank, ranks, port, changed, training)) for rank in range(ranks)]
    for process in processes:
        process.start()
    return processes


def train_together(ranks: int, changed: Callable[[], object] | None = None, **training: Any) -> None:
    """Run the ranks of a training to their end."""
    join(start_together(ranks, changed, **training))


def join(processes: Sequence[BaseProcess], seconds: float = 300) -> None:
    """Wait for processes; all must exit with status 0."""
    for process in processes:
        process.join(seconds)
        assert process.exitcode == 0


def _rank(rank: int, ranks: int, port: str, changed: Callable[[], object] | None, training: dict[str, Any]) -> None:
    from workflow_scripts.train.run import train_model

    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks, "LOCAL_WORLD_SIZE": ranks}
    os.environ.update({name: str(value) for name, value in place.items()}, MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
    if changed:
        changed()
    train_model(**training)
