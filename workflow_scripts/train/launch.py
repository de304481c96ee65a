"""torchrun for a cluster workflow: the same options, and an ending that people and schedulers understand.

`python -m workflow_scripts.train.launch TORCHRUN-OPTIONS -m MODULE OPTIONS` differs from `torchrun` in four things. It
passes SIGUSR1 on to its processes. MODULE's options may begin like torchrun's own (`--start`, `--log`). Its exit status
is that of the process that failed first, where torchrun's is always 1. And of a failure it says one line, where
torchrun shows its own traceback below the line that matters.
"""

import logging
import os
import sys
from collections.abc import Sequence

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import parse_args, run

EXIT_SIGNAL = 128
# torchrun's own, and Slurm's warning: the ranks save when it reaches them.
SIGNALS = "SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1"


def launch(arguments: Sequence[str]) -> int:
    """Run torchrun and return the exit status.

    Args:
        arguments: torchrun's options, `-m`, the module and its options.
    """
    # The trainer sets its own number of threads; this keeps torchrun from explaining that it chose one.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    module = arguments.index("-m") + 1
    options = ["--signals-to-handle", SIGNALS, *arguments[:module], "--", *arguments[module:]]
    try:
        run(parse_args(options))
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        status = failure.exitcode if failure.exitcode > 0 else EXIT_SIGNAL - failure.exitcode
        how = f"signal {-failure.exitcode}" if failure.exitcode < 0 else f"status {failure.exitcode}"
        sys.stderr.write(f"process {rank} ended first, with {how}\n")
        return status
    except SignalException as signal:
        sys.stderr.write(f"{signal}\n")
        return EXIT_SIGNAL + int(signal.sigval)
    return 0


if __name__ == "__main__":
    sys.exit(launch(sys.argv[1:]))
