"""Train in time slots of a Slurm cluster: one `srun` task per node, requeued before the time limit, resumed later.

`python -m workflow_scripts.train.slots OPTIONS -m MODULE OPTIONS` runs on the first node of a Slurm job and starts
`train.launch` on each node, with this node as the rendezvous. The job is submitted with `--signal=USR1@SECONDS`: Slurm
signals every process of the training, which saves and exits with status 143, and the job requeues itself. For Snakemake
it stays one job; no retry is counted.

If a job that outlived its Snakemake is running the same training, this job requeues itself until that one has ended,
and then adopts its work.
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
# srun's --wait: how long other nodes may still be saving after the first one has exited.
WAIT_SECONDS = 600
# Slurm accepts a dependency only after the requeue, which also terminates the job's processes: ignore SIGTERM until it
# is set. If the shell is killed first, the job starts, finds the other job, and requeues again.
REQUEUE = """\
trap '' TERM
scontrol requeue "$1" || exit
[ -z "$2" ] || scontrol update JobId="$1" Dependency=afterany:"$2"
exit 0
"""


class Slot:
    """This Slurm job: runs job steps and requeues itself."""

    def __init__(self, job: str) -> None:
        self.job = job
        self.terminated = False
        signal.signal(signal.SIGTERM, self._terminate)
        # SIGUSR1 is for the training; it may be sent to the entire job.
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)

    def _terminate(self, *_: object) -> None:
        self.terminated = True

    def run(self, command: Sequence[str]) -> int:
        """Run the job step and return its exit status."""
        return subprocess.run(command, check=False).returncode

    def requeue(self, why: str, *, after: str | None = None) -> None:
        """Requeue this job. Slurm then ends this process, so this returns only if the cluster refuses the requeue.

        Args:
            why: message for the job's log.
            after: id of a job that must end first.
        """
        log(why)
        if subprocess.run(["sh", "-c", REQUEUE, "sh", self.job, after or ""], check=False).returncode:
            return
        while not self.terminated:
            time.sleep(POLL_SECONDS)
        sys.exit(EXIT_PREEMPTED)


def slots(arguments: Sequence[str]) -> int:
    """Run the training of one slot and return the exit status."""
    options, training = parse_options(arguments)
    if "SLURM_JOB_ID" not in os.environ:
        log("error: not in a Slurm job; run snakemake --profile profiles/slurm")
        return EXIT_BAD_INPUT
    slot = Slot(os.environ["SLURM_JOB_ID"])
    other = holding_job(options.publishes)
    if other and other != slot.job and is_active(other):
        slot.requeue(f"job {other} runs the same training; requeued until it has ended", after=other)
    outcome_file = Path(training[training.index("--work") + 1]) / OUTCOME
    starts = 1 + options.restarts
    for left in reversed(range(starts)):
        outcome_file.unlink(missing_ok=True)
        # A new port for each start: the previous one may still be in use.
        status = slot.run(srun_command(options, training, starts * int(slot.job) + left))
        # srun returns the highest status of all nodes: that of the ranks that were killed after the first failure.
        if status and was_bad_input(outcome_file):
            status = EXIT_BAD_INPUT
        if not is_crash(status) or slot.terminated or not left:
            break
        log(f"ended with status {status}; restarting, {left - 1} restart{'s' * (left != 2)} left")
    if status == EXIT_PREEMPTED and not slot.terminated:
        slot.requeue("saved before the time limit; requeued to resume in the next slot")
        log("this cluster does not requeue jobs; run Snakemake again to resume")
    return status


def parse_options(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Parse the options; return them and the training's command line from `-m` on."""
    parser = argparse.ArgumentParser(prog="python -m workflow_scripts.train.slots", description=__doc__)
    parser.add_argument("--nodes", type=int, required=True, help="number of nodes")
    parser.add_argument("--processes", type=int, required=True, help="processes per node")
    parser.add_argument("--cores", type=int, required=True, help="CPU cores per node")
    parser.add_argument("--restarts", type=int, default=0, help="maximum number of restarts after a crash")
    parser.add_argument("--publishes", type=Path, required=True, help="file that the training publishes last")
    parser.add_argument("--image", help="Apptainer image to run the training in")
    module = list(arguments).index("-m") if "-m" in arguments else len(arguments)
    return parser.parse_args(arguments[:module]), list(arguments[module:])


def srun_command(options: argparse.Namespace, training: Sequence[str], number: int) -> list[str]:
    """The `srun` command of a job step: one task per node, with this node as the rendezvous.

    Args:
        options: options of the slot.
        training: the training's command line.
        number: selects the port; different job steps use different ports.
    """
    inside = ["apptainer", "exec", "--nv", options.image, "python"] if options.image else [sys.executable]
    return [
        *("srun", f"--nodes={options.nodes}", "--ntasks-per-node=1", f"--cpus-per-task={options.cores}"),
        f"--wait={WAIT_SECONDS}",
        *(*inside, "-m", "workflow_scripts.train.launch", "--nnodes", str(options.nodes)),
        *("--nproc-per-node", str(options.processes)),
        *("--master-addr", socket.gethostname(), "--master-port", str(PORTS[number % len(PORTS)])),
        *training,
    ]


def was_bad_input(outcome_file: Path) -> bool:
    """Whether a rank on any node has recorded bad input."""
    return outcome_file.exists() and bool(json.loads(outcome_file.read_text(encoding="utf-8"))["outcome"] == BAD_INPUT)


def is_active(job: str) -> bool:
    """Whether a job is pending or running."""
    done = subprocess.run(["squeue", "--noheader", "--jobs", job], capture_output=True, text=True, check=False)
    return bool(done.stdout.strip())


def log(line: str) -> None:
    """Write a line to the job's log."""
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(slots(sys.argv[1:]))
