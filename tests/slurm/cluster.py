"""A real Slurm on this machine, from Debian's packages `slurm-wlm` and `munge`: its daemons and two nodes on loopback.

`python -m tests.slurm.cluster COMMAND` runs a command for which Slurm's commands are those of such a cluster. What it
keeps is in a folder of its own, and no daemon is left behind. It has two nodes, n1 and n2, with more cores, memory and
GPUs than there are, and no accounting.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

COMMANDS = ("sbatch", "srun", "sinfo", "squeue", "scancel", "scontrol")
PROGRAMS = ("munged", "slurmctld", "slurmd", *COMMANDS)
# Debian's daemons are not on everybody's path.
PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
PATIENCE = 60.0
# Files that stand for GPUs: Slurm hands out their numbers and opens none of them.
GPUS = 4
# `cred_expire` is how long a job that was queued again waits. A signalled job has `KillWait` seconds to end.
CONFIG = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthInfo=socket={folder}/munge/socket,cred_expire=5
SlurmctldPort={ports[0]}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=10
MinJobAge=86400
GresTypes=gpu
NodeName=n1 NodeAddr=127.0.0.1 Port={ports[1]} CPUs=16 RealMemory=64000 Gres=gpu:{gpus}
NodeName=n2 NodeAddr=127.0.0.1 Port={ports[2]} CPUs=16 RealMemory=64000 Gres=gpu:{gpus}
PartitionName=cpu Nodes=n1,n2 Default=YES
PartitionName=gpu Nodes=n1,n2
PartitionName=transfer Nodes=n2
"""


def missing_programs() -> list[str]:
    """What of Slurm and munge is not installed here."""
    return [name for name in PROGRAMS if not shutil.which(name, path=PATH)]


@dataclass(frozen=True)
class Job:
    """A job as `squeue` shows it.

    Attributes:
        number: its id.
        rule: `rule_NAME`, the comment that the plugin gives it, with wildcards behind it.
        state: PENDING, RUNNING, ...
        reason: why it waits.
        partition: where.
        nodes: on how many.
    """

    number: str
    rule: str
    state: str
    reason: str
    partition: str
    nodes: int


@dataclass(frozen=True)
class Cluster:
    """A running cluster.

    Attributes:
        folder: where its daemons keep everything.
    """

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """What a command needs to reach the cluster.

        Not by SLURM_CONF, which Snakemake's plugin takes away from jobs, like every variable of that beginning.
        """
        return {"PATH": f"{self.folder / 'bin'}{os.pathsep}{PATH}"}

    def run(self, *words: str) -> str:
        """Run one of Slurm's commands; what it printed."""
        command = subprocess.run(
            words, env=os.environ | self.environment, capture_output=True, text=True, check=False, timeout=PATIENCE
        )
        assert command.returncode == 0, f"{' '.join(words)}: {command.stderr}"
        return command.stdout

    def jobs(self) -> list[Job]:
        """Every job that it still knows, the oldest first."""
        lines = self.run("squeue", "--states=all", "--noheader", "--sort=i", "--format=%i|%k|%T|%r|%P|%D").splitlines()
        return [Job(*fields[:5], int(fields[5])) for fields in (line.split("|") for line in lines)]

    def shown(self, number: str) -> str:
        """What `scontrol` knows of a job."""
        return self.run("scontrol", "show", "job", number)

    def started(self, number: str) -> int:
        """How often a job was put back into the queue."""
        return int(self.shown(number).split("Restarts=")[1].split()[0])


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """A cluster that lives as long as the context."""
    with tempfile.TemporaryDirectory(prefix="slurm-") as name, ExitStack() as daemons:
        cluster = Cluster(Path(name))
        (cluster.folder / "munge").mkdir(mode=0o755)
        cluster.folder.chmod(0o755)
        (cluster.folder / "state").mkdir()
        key = cluster.folder / "munge/key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        for number in range(GPUS):
            (cluster.folder / f"gpu{number}").touch()
        (cluster.folder / "gres.conf").write_text(f"Name=gpu File={name}/gpu[0-{GPUS - 1}]\n")
        config = cluster.folder / "slurm.conf"
        config.write_text(
            CONFIG.format(
                host=socket.gethostname(),
                user=pwd.getpwuid(os.getuid()).pw_name,
                folder=name,
                ports=free_ports(3),
                gpus=GPUS,
            )
        )
        (cluster.folder / "bin").mkdir()
        for command in COMMANDS:
            wrapper = cluster.folder / "bin" / command
            wrapper.write_text(f'#!/bin/sh\nexec env SLURM_CONF={config} {shutil.which(command, path=PATH)} "$@"\n')
            wrapper.chmod(0o755)
        munge = ["--force", f"--socket={name}/munge/socket", f"--key-file={key}"]
        munge += [f"--{kind}-file={name}/munge/{kind}" for kind in ("pid", "seed")]
        start(daemons, cluster, "munged", "--foreground", *munge)
        wait_until((cluster.folder / "munge/socket").exists, "munged")
        start(daemons, cluster, "slurmctld", "-D", "-f", str(config))
        for node in ("n1", "n2"):
            start(daemons, cluster, "slurmd", "-D", "-N", node, "-f", str(config))
        wait_until(lambda: cluster.run("sinfo", "--noheader", "--format=%T %D", "-p", "cpu") == "idle 2\n", "slurmctld")
        try:
            yield cluster
        finally:
            cluster.run("scancel", "--user", pwd.getpwuid(os.getuid()).pw_name)
            wait_until(lambda: not cluster.run("squeue", "--noheader"), "the end of all jobs")


def start(daemons: ExitStack, cluster: Cluster, *command: str) -> None:
    """Start a daemon that is ended with `daemons`."""
    log = daemons.enter_context((cluster.folder / "daemons.log").open("a"))
    # A test that is killed takes them along.
    bound = ["setpriv", "--pdeathsig", "TERM", *command]
    process = subprocess.Popen(bound, env=os.environ | cluster.environment, stdout=log, stderr=log)

    def stop() -> None:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    daemons.callback(stop)


def free_ports(count: int) -> list[int]:
    """TCP ports that nobody listens on."""
    with ExitStack() as sockets:
        taken = [sockets.enter_context(socket.socket()) for _ in range(count)]
        for one in taken:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in taken]


def wait_until(true: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
    """Look again and again, for so long; an error that cannot be there yet counts as no."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if true():
                return
        except AssertionError:
            pass
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.2)


def main(command: Sequence[str]) -> int:
    """Run a command with a cluster and return its exit status."""
    if missing := missing_programs():
        sys.stderr.write(f"error: no {', '.join(missing)} here; apt-get install slurm-wlm munge\n")
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with running_cluster() as cluster:
        return subprocess.run(command, env=os.environ | cluster.environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
