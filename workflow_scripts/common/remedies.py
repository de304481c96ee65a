"""Commands that messages tell a person to type, with the options of the run that says so.

Without its profile and config files a command would work on the embedded world, or not start at all.
"""

import os
import shlex
from collections.abc import Iterable, Sequence

OPTIONS = "TREEOFLIFE_SNAKEMAKE_OPTIONS"
# Each stands for one run alone.
ONCE = ("redo=", "keep=")
# With how many values they come; None: all up to the next option.
TAKEN = {
    "--profile": 1,
    "--cores": 1,
    "-c": 1,
    "--configfile": None,
    "--configfiles": None,
    "--config": None,
    "-C": None,
}


def snakemake(*words: str) -> str:
    """A Snakemake command line: targets first, then the options of the run that says it."""
    return " ".join(filter(None, ["snakemake", shlex.join(words), os.environ.get(OPTIONS, "")]))


def remember_options(command_line: Sequence[str]) -> None:
    """Keep what the commands of this run's messages need, for this process and the jobs that it starts.

    Args:
        command_line: the words behind `snakemake`.
    """
    os.environ[OPTIONS] = shlex.join(_options(command_line))


def _options(command_line: Sequence[str]) -> Iterable[str]:
    words = list(command_line)
    while words:
        option, _, value = words.pop(0).partition("=")
        if option[:2] == "-c" and option[2:].isdigit():
            yield option
        if option not in TAKEN:
            continue
        values = [value] if value else []
        most = TAKEN[option]
        while words and not words[0].startswith("-") and (most is None or len(values) < most):
            values.append(words.pop(0))
        if values := [one for one in values if not (option in ("--config", "-C") and one.startswith(ONCE))]:
            yield option
            yield from values
