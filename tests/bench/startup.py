"""CPU time and memory of the commands' start-up, compared with bare Python: `startup.py commands`."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence

from rows import MeasuredValues, print_rows, sized

from tests.common.light_steps import LIGHT, WITH_IMAGES

BARE = "import duckdb, pyarrow"
PEER = "python -c 'import duckdb, pyarrow', at most"
# Maximum ratio to bare Python: in general, and for commands that decode images.
MOST, MOST_WITH_IMAGES = 2.5, 3.5
REPEATS = sized(3, 1)


def commands() -> Iterator[MeasuredValues]:
    """CPU seconds and MiB of each command's `--help` that needs no torch.

    Raises:
        RuntimeError: a command failed, or takes more than it may; after all rows.
    """
    beyond = []
    for module in sized(LIGHT, LIGHT[::16]):
        most = MOST_WITH_IMAGES if module in WITH_IMAGES else MOST
        taken, bare = _least(["-m", f"workflow_scripts.{module}", "--help"], ["-c", BARE])
        for what, unit, value, of_bare in zip(("cpu", "memory"), ("s", "MiB"), taken, bare, strict=True):
            if value > most * of_bare:
                beyond.append(f"{module}: {value / of_bare:.2f} times the {what}")
            yield f"startup_{what}_{module}", value, unit, f"{PEER} x{most}", of_bare
    if beyond and sized(True, False):
        raise RuntimeError("; ".join(beyond))


def _least(*commands: Sequence[str]) -> list[tuple[float, float]]:
    """CPU seconds and peak MiB of Python commands, each the least of some tries.

    The commands take turns, so that what else the machine does meets them alike.
    """
    turns = [[_taken(words) for words in commands] for _ in range(REPEATS)]
    return [
        (min(seconds for seconds, _ in tries), min(memory for _, memory in tries)) for tries in zip(*turns, strict=True)
    ]


def _taken(words: Sequence[str]) -> tuple[float, float]:
    with subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"exit status {process.returncode}: {' '.join(words)}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


if __name__ == "__main__":
    print_rows((commands,))
