"""Shell commands that a cluster's jobs run first: environment modules and the site's setup file."""

import shlex

from workflow_scripts.common.config.site import SlurmSettings

# Jobs inherit the variables of the submitting shell, but with some shells not its functions.
MODULE = 'type module > /dev/null 2>&1 || . "${MODULESHOME:-/usr/share/modules}/init/bash" || :'


def setup(slurm: SlurmSettings | None) -> str:
    """Shell commands that load the site's modules and setup file, or print an error and exit with status 1.

    They run before `set -u`, with which module systems fail.

    Args:
        slurm: the cluster; None: this machine, where nothing is loaded.
    """
    if slurm is None:
        return ""
    commands = []
    if slurm.modules:
        load = shlex.join(["module", "load", *slurm.modules])
        commands += [MODULE, _or_fail(load, f"slurm.modules: `{load}` failed")]
    if slurm.setup:
        commands.append(_or_fail(f". {shlex.quote(slurm.setup)}", f"slurm.setup: {slurm.setup} failed"))
    return "".join(f"{command}; " for command in commands)


def literal_prefix(commands: str) -> str:
    """Escape braces for Snakemake's `shell.prefix`, which formats them as fields."""
    return commands.replace("{", "{{").replace("}", "}}")


def _or_fail(command: str, failure: str) -> str:
    message = shlex.quote(f"error: config/site.yaml: {failure} on ")
    return f'{command} || {{ echo {message}"$(hostname)" >&2; exit 1; }}'
