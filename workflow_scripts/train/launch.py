"""torchrun for a cluster workflow: the same options, and an ending that people and schedulers understand.

`python -m workflow_scripts.train.launch TORCHRUN-OPTIONS -m MODULE OPTIONS` differs from `torchrun` in five things. It
passes SIGUSR1 on to its processes and lets them save in their own time, where torchrun would kill them after 30
seconds. As a task of a Slurm step it takes that task's place among the nodes. MODULE's options may begin like
torchrun's own (`--start`, `--log`). Its exit status is that of the process that failed first, where torchrun's is
always 1. And of a failure it says one line, where torchrun shows its own traceback below the line that matters.
"""

import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import parse_args, run

EXIT_SIGNAL = 128


def launch(arguments: Sequence[str]) -> int:
    """Run torchrun and return the exit status.

    Args:
        arguments: torchrun's options, `-m`, the module and its options.
    """
    # The trainer sets its own number of threads; this keeps torchrun from explaining that it chose one.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    os.environ.setdefault("PET_NODE_RANK", os.environ.get("SLURM_NODEID", "0"))
    signal.signal(signal.SIGUSR1, _pass_on)
    module = arguments.index("-m") + 1
    try:
        run(parse_args([*arguments[:module], "--", *arguments[module:]]))
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        status = failure.exitcode if failure.exitcode > 0 else EXIT_SIGNAL - failure.exitcode
        how = f"signal {-failure.exitcode}" if failure.exitcode < 0 else f"status {failure.exitcode}"
        sys.stderr.write(f"process {rank} ended first, with {how}\n")
        return status
    except SignalException as ended:
        sys.stderr.write(f"{ended}\n")
        return EXIT_SIGNAL + int(ended.sigval)
    return 0


def _pass_on(number: int, _: object) -> None:
    """Signal the processes. A whole group may have been signalled, so that they hear it twice; they do not mind."""
    for task in Path("/proc/self/task").iterdir():
        for child in (task / "children").read_text().split():
            os.kill(int(child), number)


if __name__ == "__main__":
    sys.exit(launch(sys.argv[1:]))
