"""A launcher with torchrun's options, whose exit statuses suit schedulers and whose errors are one line.

`python -m workflow_scripts.train.launch [--restarts N] TORCHRUN-OPTIONS -m MODULE OPTIONS` differs from `torchrun` in
six things. It passes SIGUSR1 on to its processes and lets them save in their own time, where torchrun would kill them
after 30 seconds. As a task of a Slurm step it takes that task's place among the nodes. MODULE's options may begin like
torchrun's own (`--start`, `--log`). Its exit status is that of the process that failed first, where torchrun's is
always 1. Of a failure it says one line, where torchrun shows its own traceback below the line that matters. And on one
machine it starts all processes anew after a crash, up to N times, and after nothing else.

The exit status says what follows:

- 0, trained or adopted: nothing.
- 2, bad input: a person has to change something; another try changes nothing.
- 143, preempted: asked to stop by SIGTERM, SIGUSR1 or SIGINT, and saved, or crashed at that: Slurm warns once, so that
  another start in the same slot would run into its end. Run it again, as often as it takes.
- anything else, a crash (128 + N where signal N killed a process): another try or two; it goes on from the newest whole
  checkpoint.

`outcome.json` in the training's folder of work says the same with a reason, `outcomes.jsonl` all of them in order.
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

from workflow_scripts.train.exit_status import EXIT_PREEMPTED, EXIT_SIGNAL, is_crash


def launch(arguments: Sequence[str]) -> int:
    """Run torchrun and return the exit status.

    Args:
        arguments: perhaps `--restarts N`; torchrun's options, `-m`, the module and its options.
    """
    # The trainer sets its own number of threads; this keeps torchrun from explaining that it chose one.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    os.environ.setdefault("PET_NODE_RANK", os.environ.get("SLURM_NODEID", "0"))
    asked = []

    def pass_on(number: int, _: object) -> None:
        asked.append(number)
        _signal_children(number)

    signal.signal(signal.SIGUSR1, pass_on)
    restarts = 0
    if arguments[0] == "--restarts":
        restarts, arguments = int(arguments[1]), arguments[2:]
    module = arguments.index("-m") + 1
    while True:
        status = run_once([*arguments[:module], "--", *arguments[module:]])
        if is_crash(status) and asked:
            sys.stderr.write("stopped on request; the next run resumes from the newest checkpoint\n")
            return EXIT_PREEMPTED
        if not is_crash(status) or not restarts:
            return status
        restarts -= 1
        sys.stderr.write(f"restarting, {restarts} restart{'s' * (restarts != 1)} left\n")


def run_once(options: Sequence[str]) -> int:
    """Run torchrun once and return the exit status."""
    try:
        run(parse_args(list(options)))
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        status = failure.exitcode if failure.exitcode > 0 else EXIT_SIGNAL - failure.exitcode
        how = f"signal {-failure.exitcode}" if failure.exitcode < 0 else f"status {failure.exitcode}"
        sys.stderr.write(f"rank {rank} failed first ({how})\n")
        return status
    except SignalException as ended:
        # Asked to end, whether or not the processes had something to save.
        sys.stderr.write(f"{ended}\n")
        return EXIT_PREEMPTED
    return 0


def _signal_children(number: int) -> None:
    """Signal the processes. A whole group may have been signalled, so that they hear it twice; they do not mind."""
    for task in Path("/proc/self/task").iterdir():
        for child in (task / "children").read_text().split():
            os.kill(int(child), number)


if __name__ == "__main__":
    sys.exit(launch(sys.argv[1:]))
