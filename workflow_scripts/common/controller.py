"""Options with which `profiles/slurm/controller.sbatch` is submitted to Slurm."""

import shlex
import sys

from workflow_scripts.common.cli import run
from workflow_scripts.common.config.root import load_site


def controller() -> None:
    """Print the options of `sbatch` that depend on the place, for a shell to read.

    Raises:
        InputError: the site file names no cluster.
    """
    slurm = load_site().cluster
    options = [f"--partition={slurm.partition}", f"--time={slurm.most(slurm.partition).minutes}"]
    if slurm.account:
        options.append(f"--account={slurm.account}")
    if slurm.qos:
        options.append(f"--qos={slurm.qos}")
    if slurm.mail:
        options += slurm.mail.options
    options += shlex.split(slurm.extra)
    sys.stdout.write(shlex.join(options) + "\n")


if __name__ == "__main__":
    run(controller)
