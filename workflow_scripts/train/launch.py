"""torchrun for a cluster workflow: the same options, and an ending that people and schedulers understand.

`python -m workflow_scripts.train.launch [--restarts N] TORCHRUN-OPTIONS -m MODULE OPTIONS` differs from `torchrun` in
five things. It passes SIGUSR1 on to its processes. MODULE's options may begin like torchrun's own (`--start`, `--log`).
Its exit status is that of the process that failed first, where torchrun's is always 1. Of a failure it says one line,
where torchrun shows its own traceback below the line that matters. And it starts all processes anew after a crash, up
to N times, but only after a crash.

The exit status says what to do next:

- 0: trained, or adopted. Nothing.
- 2, bad input: a person has to change something; trying again changes nothing.
- 143, preempted: asked to stop by SIGTERM, SIGUSR1 or SIGINT, and saved. Run it again, as often as it takes.
- anything else, a crash: 128 + N where signal N killed a process. Worth another try or two; it goes on from the newest
  whole checkpoint.

`outcome.json` in the training's folder of work says the same with a reason, `outcomes.jsonl` all of them in order.
"""

import logging
import os
import sys
from collections.abc import Sequence

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import parse_args, run

from workflow_scripts.common.cli import EXIT_BAD_INPUT

EXIT_SIGNAL = 128
EXIT_PREEMPTED = EXIT_SIGNAL + 15
# torchrun's own, and Slurm's warning: the ranks save when it reaches them.
SIGNALS = "SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1"


def launch(arguments: Sequence[str]) -> int:
    """Run torchrun and return the exit status.

    Args:
        arguments: perhaps `--restarts N`; torchrun's options, `-m`, the module and its options.
    """
    # The trainer sets its own number of threads; this keeps torchrun from explaining that it chose one.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    restarts = 0
    if arguments[0] == "--restarts":
        restarts, arguments = int(arguments[1]), arguments[2:]
    module = arguments.index("-m") + 1
    options = ["--signals-to-handle", SIGNALS, *arguments[:module], "--", *arguments[module:]]
    while True:
        status = run_once(options)
        if not is_crash(status) or not restarts:
            return status
        restarts -= 1
        sys.stderr.write(f"trying again, {restarts} more times after this one\n")


def is_crash(status: int) -> bool:
    """Whether a training that ended so is worth another try."""
    return status not in (0, EXIT_BAD_INPUT, EXIT_PREEMPTED)


def run_once(options: Sequence[str]) -> int:
    """Run torchrun once and return the exit status."""
    try:
        run(parse_args(list(options)))
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        status = failure.exitcode if failure.exitcode > 0 else EXIT_SIGNAL - failure.exitcode
        how = f"signal {-failure.exitcode}" if failure.exitcode < 0 else f"status {failure.exitcode}"
        sys.stderr.write(f"process {rank} ended first, with {how}\n")
        return status
    except SignalException as signal:
        # Asked to end before the processes had anything to save, or slower than torchrun waits.
        sys.stderr.write(f"{signal}\n")
        return EXIT_PREEMPTED
    return 0


if __name__ == "__main__":
    sys.exit(launch(sys.argv[1:]))
