"""A launcher with torchrun's options, whose exit statuses suit schedulers and whose errors are one line.

`python -m workflow_scripts.train.launch [--restarts N] TORCHRUN-OPTIONS -m MODULE OPTIONS` differs from `torchrun` in
six ways:

- It forwards SIGUSR1 to its processes and waits until they have saved; torchrun would kill them after 30 seconds.
- In a Slurm step, the node rank is the task's.
- MODULE's options may begin like torchrun's own (`--start`, `--log`).
- The exit status is that of the process that failed first; torchrun's is always 1.
- A failure prints one line; torchrun prints its own traceback after the error message.
- With `--restarts N`, on one machine, it restarts all processes after a crash, up to N times, and only after a crash.

Exit statuses:

- 0, trained or adopted.
- 2, bad input: change the input or the config; a retry fails again.
- 143, preempted: stopped by SIGTERM, SIGUSR1 or SIGINT with a checkpoint saved, or crashed after SIGUSR1 (a restart
  would run into the end of the time slot). Rerun to resume.
- anything else, a crash (128 + N if signal N killed a process): retry; training resumes from the newest intact
  checkpoint.

`outcome.json` in the parent of the work folders records the last outcome with its reason, `outcomes.jsonl` all of them.
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
        arguments: optionally `--restarts N`; torchrun's options, `-m`, the module and its options.
    """
    # Suppresses torchrun's notice about threads; the trainer sets its own number.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    os.environ.setdefault("PET_NODE_RANK", os.environ.get("SLURM_NODEID", "0"))
    received = []

    def forward_signal(number: int, _: object) -> None:
        received.append(number)
        _signal_children(number)

    signal.signal(signal.SIGUSR1, forward_signal)
    restarts = 0
    if arguments[0] == "--restarts":
        restarts, arguments = int(arguments[1]), arguments[2:]
    module = arguments.index("-m") + 1
    while True:
        status = run_once([*arguments[:module], "--", *arguments[module:]])
        if is_crash(status) and received:
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
    except SignalException as error:
        # Preempted, whether or not the processes had something to save.
        sys.stderr.write(f"{error}\n")
        return EXIT_PREEMPTED
    return 0


def _signal_children(number: int) -> None:
    """Forward a signal to the child processes; receiving it twice (from the process group, too) is harmless."""
    for task in Path("/proc/self/task").iterdir():
        for child in (task / "children").read_text().split():
            os.kill(int(child), number)


if __name__ == "__main__":
    sys.exit(launch(sys.argv[1:]))
