"""Serve the embedded world while one command runs.

python -m workflow_scripts.world.serve --world W -- COMMAND ARGS...
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
    """Serve a world while a command runs, and leave with the command's exit status.

    The command dies with this process; SIGTERM and SIGINT are passed on to it.

    Args:
        world: the world's folder.
        command: the command and its arguments, behind `--`.

    Raises:
        InputError: there is no world or no command, or the world's port is taken.
    """
    if not command:
        raise InputError("no command to serve the world to; write it behind --")
    if shutil.which(command[0]) is None:
        raise InputError(f"{command[0]}: no such command")
    with serving(world):
        status = _run(command)
    raise SystemExit(status)


def _run(command: tuple[str, ...]) -> int:
    launched = [sys.executable, "-m", "workflow_scripts.world.launch", str(os.getpid()), *command]
    heard: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: heard.append(number))
    # A group of its own: Ctrl-C in a terminal reaches it once, through this process.
    child = subprocess.Popen(launched, process_group=0)
    # Not child.wait(): a signal that comes just before it blocks would be heard only when the command has ended.
    while (status := child.poll()) is None:
        while heard:
            child.send_signal(heard.pop(0))
        time.sleep(POLL_SECONDS)
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    run(serve_world)
