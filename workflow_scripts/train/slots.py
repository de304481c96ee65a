"""A training in time slots of a cluster: one `srun` task per node, warned before its end, resumed in the next slot.

`python -m workflow_scripts.train.slots OPTIONS -m MODULE OPTIONS` runs in a Slurm job, on the first of its nodes. It
starts `train.launch` once on each node; they meet on this one. The job is asked for with `--signal=USR1@SECONDS`: Slurm
then warns every process of the training, which saves and ends with a status that says so, and the job puts itself back
into the queue. Snakemake sees one job that waits and runs and waits; no try is counted.

A job that outlived its Snakemake may be at the same work. Then this one gives its nodes back and stays in the queue
until the other has ended, and finds the work done.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.common.cli import EXIT_BAD_INPUT
from workflow_scripts.common.work_folder import holding_job
from workflow_scripts.train.exit_status import BAD_INPUT, EXIT_PREEMPTED, OUTCOME, is_crash

PORTS = range(10_000, 30_000)
POLL_SECONDS = 0.5
# One node may still be writing what all others wait for no longer.
SECONDS_AFTER_THE_FIRST = 600
# Slurm takes the dependency of a job only when that is queued again, and by then ends all its processes: these commands
# must outlive its SIGTERM. Where they do not, the job starts, looks and queues once more.
QUEUE_AGAIN = """\
trap '' TERM
scontrol requeue "$1" || exit
[ -z "$2" ] || scontrol update JobId="$1" Dependency=afterany:"$2"
exit 0
"""


class Slot:
    """This Slurm job, and what is done with its queue."""

    def __init__(self, job: str) -> None:
        self.job = job
        self.told_to_end = False
        signal.signal(signal.SIGTERM, self._note)
        # Meant for the training; whoever sends it to the whole job must not end this.
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)

    def _note(self, *_: object) -> None:
        self.told_to_end = True

    def run(self, command: Sequence[str]) -> int:
        """Run the job step and return its exit status."""
        return subprocess.run(command, check=False).returncode

    def give_back(self, why: str, *, after: str | None = None) -> None:
        """Put this job back into the queue; it is started anew, and this process does not return.

        Args:
            why: for the job's log.
            after: a job that has to end before.

        Returns:
            Only where the cluster does not let a job do that.
        """
        say(why)
        if subprocess.run(["sh", "-c", QUEUE_AGAIN, "sh", self.job, after or ""], check=False).returncode:
            return
        while not self.told_to_end:
            time.sleep(POLL_SECONDS)
        sys.exit(EXIT_PREEMPTED)


def slots(arguments: Sequence[str]) -> int:
    """Run the training of one slot and return the exit status."""
    options, training = parse(arguments)
    if "SLURM_JOB_ID" not in os.environ:
        say("error: no Slurm job; snakemake --profile profiles/slurm starts one")
        return EXIT_BAD_INPUT
    slot = Slot(os.environ["SLURM_JOB_ID"])
    other = holding_job(options.publishes)
    if other and other != slot.job and is_active(other):
        slot.give_back(f"job {other} is at the same work; waiting in the queue until it has ended", after=other)
    written = Path(training[training.index("--work") + 1]) / OUTCOME
    starts = 1 + options.restarts
    for left in reversed(range(starts)):
        written.unlink(missing_ok=True)
        # Another port each time: what holds one may hold it for long.
        status = slot.run(step(options, training, starts * int(slot.job) + left))
        # Of several nodes, srun gives the highest status: that of ranks that were killed because of it.
        if status and was_bad_input(written):
            status = EXIT_BAD_INPUT
        if not is_crash(status) or slot.told_to_end or not left:
            break
        say(f"ended with status {status}; restarting, {left - 1} restarts left")
    if status == EXIT_PREEMPTED and not slot.told_to_end:
        slot.give_back("saved before the time is up; going on in the next slot")
        say("this cluster puts no job back into its queue; run Snakemake again to go on")
    return status


def parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """The options, and the training's own command line from `-m` on."""
    parser = argparse.ArgumentParser(prog="python -m workflow_scripts.train.slots", description=__doc__)
    parser.add_argument("--nodes", type=int, required=True, help="machines")
    parser.add_argument("--processes", type=int, required=True, help="processes a machine")
    parser.add_argument("--cores", type=int, required=True, help="cores a machine")
    parser.add_argument("--restarts", type=int, default=0, help="how often a crash is followed by another start")
    parser.add_argument("--publishes", type=Path, required=True, help="the file that says that the training is done")
    parser.add_argument("--image", help="Apptainer image to run in")
    module = list(arguments).index("-m") if "-m" in arguments else len(arguments)
    return parser.parse_args(arguments[:module]), list(arguments[module:])


def step(options: argparse.Namespace, training: Sequence[str], number: int) -> list[str]:
    """The command of the job step: a task a node, all of which meet on the first node, where this runs.

    Args:
        options: of the slot.
        training: the training's own command line.
        number: decides the port; steps of one machine have different ones.
    """
    inside = ["apptainer", "exec", "--nv", options.image, "python"] if options.image else [sys.executable]
    return [
        *("srun", f"--nodes={options.nodes}", "--ntasks-per-node=1", f"--cpus-per-task={options.cores}"),
        f"--wait={SECONDS_AFTER_THE_FIRST}",
        *(*inside, "-m", "workflow_scripts.train.launch", "--nnodes", str(options.nodes)),
        *("--nproc-per-node", str(options.processes)),
        *("--master-addr", socket.gethostname(), "--master-port", str(PORTS[number % len(PORTS)])),
        *training,
    ]


def was_bad_input(written: Path) -> bool:
    """Whether a rank, on whichever node, has written down that what the training was given is wrong."""
    return written.exists() and bool(json.loads(written.read_text(encoding="utf-8"))["outcome"] == BAD_INPUT)


def is_active(job: str) -> bool:
    """Whether a job waits or runs."""
    done = subprocess.run(["squeue", "--noheader", "--jobs", job], capture_output=True, text=True, check=False)
    return bool(done.stdout.strip())


def say(line: str) -> None:
    """A line in the job's log."""
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(slots(sys.argv[1:]))
