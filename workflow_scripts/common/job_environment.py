"""What a cluster's jobs load before their command: environment modules and a file of shell commands of the site's."""

import shlex

from workflow_scripts.common.config.site import SlurmSettings

# Jobs inherit the submitting shell's variables, and with some shells not its functions.
MODULE = 'type module > /dev/null 2>&1 || . "${MODULESHOME:-/usr/share/modules}/init/bash" || :'


def setup(slurm: SlurmSettings | None) -> str:
    """Shell commands that load what the site names; they end with a line that says what failed, and status 1.

    They come before `set -u`, which module systems do not bear.

    Args:
        slurm: the cluster; None: this machine, where nothing is loaded.
    """
    if slurm is None:
        return ""
    commands = []
    if slurm.modules:
        load = shlex.join(["module", "load", *slurm.modules])
        commands += [MODULE, _or_say(load, f"slurm.modules: `{load}` failed")]
    if slurm.setup:
        commands.append(_or_say(f". {shlex.quote(slurm.setup)}", f"slurm.setup: {slurm.setup} failed"))
    return "".join(f"{command}; " for command in commands)


def literal_prefix(commands: str) -> str:
    """Shell commands for Snakemake's `shell.prefix`, which reads braces as fields."""
    return commands.replace("{", "{{").replace("}", "}}")


def _or_say(command: str, failure: str) -> str:
    said = shlex.quote(f"error: config/site.yaml: {failure} on ")
    return f'{command} || {{ echo {said}"$(hostname)" >&2; exit 1; }}'
