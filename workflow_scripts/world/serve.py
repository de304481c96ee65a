"""Serve the embedded world while a command runs.

`python -m workflow_scripts.world.serve --world W -- COMMAND ARGS...`
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import tyro

from workflow_scripts.common.cli import run
from workflow_scripts.common.errors import InputError
from workflow_scripts.world.server import serving

POLL_SECONDS = 0.1


def serve_world(*, world: Path, command: tyro.conf.Positional[tuple[str, ...]]) -> None:
    """Serve a world while a command runs, and exit with the command's status.

    The command is killed when this process ends; SIGTERM and SIGINT are forwarded to it.

    Args:
        world: the world's folder.
        command: the command and its arguments, after `--`.

    Raises:
        InputError: the world or the command does not exist, or the world's port is in use.
    """
    if not command:
        raise InputError("no command given; add it after --")
    if shutil.which(command[0]) is None:
        raise InputError(f"{command[0]}: command not found")
    with serving(world):
        status = _run(command)
    raise SystemExit(status)


def _run(command: tuple[str, ...]) -> int:
    launched = [sys.executable, "-m", "workflow_scripts.world.launch", str(os.getpid()), *command]
    received: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: received.append(number))
    # A separate process group: Ctrl-C in a terminal reaches the command once, through this process.
    child = subprocess.Popen(launched, process_group=0)
    # Poll instead of child.wait(): a signal just before the wait blocks would be handled only after the command ended.
    while (status := child.poll()) is None:
        while received:
            child.send_signal(received.pop(0))
        time.sleep(POLL_SECONDS)
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    run(serve_world)
