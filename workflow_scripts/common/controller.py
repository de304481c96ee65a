"""Options for submitting `profiles/slurm/controller.sbatch` to Slurm."""

import shlex
import sys

from workflow_scripts.common.cli import run
from workflow_scripts.common.config.root import load_site


def controller() -> None:
    """Print the site's options of `sbatch`, quoted for a shell.

    Raises:
        InputError: the site file has no complete Slurm settings.
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
