"""Commands that messages suggest, with the options of the current run.

Without its profile and config files a command would work on the embedded world, or not start at all.
"""

import json
import os
import shlex
from collections.abc import Iterator, Sequence

OPTIONS = "TREEOFLIFE_SNAKEMAKE_OPTIONS"
# What a person completes where no run says it.
UNKNOWN = ["--profile", "profiles/local", "--configfile", "CONFIG"]
# Each stands for one run alone.
ONCE = ("redo=", "keep=")
# With how many values they come; None: all up to the next option.
TAKEN: dict[str, int | None] = {
    **dict.fromkeys(("--profile", "--cores", "-c", "--snakefile", "-s", "--directory", "-d"), 1),
    **dict.fromkeys(("--configfile", "--configfiles", "--config", "-C")),
}
CONFIG = ("--config", "-C")


def snakemake(*words: str, config: Sequence[str] = (), configfile: str = "") -> str:
    """A Snakemake command line: targets first, then the options of the run that says it.

    Args:
        words: targets and options of the command itself.
        config: further words of `--config`.
        configfile: the config file, where no run of Snakemake says this.
    """
    found = os.environ.get(OPTIONS)
    said = json.loads(found) if found else {"options": [*UNKNOWN[:-1], configfile or UNKNOWN[-1]], "config": []}
    values = [*said["config"], *config]
    return shlex.join(["snakemake", *words, *said["options"], *(["--config", *values] if values else [])])


def remember_options(command_line: Sequence[str]) -> None:
    """Keep what the commands of this run's messages need, for this process and the jobs that it starts.

    Args:
        command_line: the words behind `snakemake`.
    """
    kept: dict[str, list[str]] = {"options": [], "config": []}
    for option, values in _options(command_line):
        if option in CONFIG:
            kept["config"] += [value for value in values if not value.startswith(ONCE)]
        else:
            kept["options"] += [option, *values]
    os.environ[OPTIONS] = json.dumps(kept)


def _options(command_line: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """The options that say what is run, with their values."""
    words = list(command_line)
    while words:
        option, _, value = words.pop(0).partition("=")
        if option[:2] == "-c" and option[2:].isdigit():
            yield option, []
        if option not in TAKEN:
            continue
        values = [value] if value else []
        most = TAKEN[option]
        while words and not words[0].startswith("-") and (most is None or len(values) < most):
            values.append(words.pop(0))
        yield option, values
