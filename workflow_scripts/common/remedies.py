"""Snakemake commands for messages, with the options of the current run.

Without the run's profile and config files, a command would run on the embedded world or not start at all.
"""

import json
import os
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
OPTIONS = "TREEOFLIFE_SNAKEMAKE_OPTIONS"
# The command line of `run` as typed (JSON), to which it adds paths for Snakemake.
TYPED = "TREEOFLIFE_TYPED"
# Placeholder options outside a run of Snakemake.
UNKNOWN = ["--profile", "profiles/local", "--configfile", "CONFIG"]
# Config values that apply to one run only.
ONCE = ("redo=", "keep=")
# Options to repeat, with their number of values; None: all up to the next option.
REPEATED: dict[str, int | None] = {
    **dict.fromkeys(("--profile", "--cores", "-c", "--snakefile", "-s", "--directory", "-d"), 1),
    **dict.fromkeys(("--configfile", "--configfiles", "--config", "-C")),
}
CONFIG = ("--config", "-C")


def snakemake(*words: str, config: Sequence[str] = (), configfile: str = "") -> str:
    """A Snakemake command line: targets first, then the options of the current run.

    Args:
        words: targets and options of the command itself.
        config: further values of `--config`.
        configfile: the config file to name outside a run of Snakemake.
    """
    found = os.environ.get(OPTIONS)
    program = "snakemake" if Path("Snakefile").exists() or Path("workflow/Snakefile").exists() else str(PROJECT / "run")
    unknown: dict[str, Any] = {"program": program, "options": [*UNKNOWN[:-1], configfile or UNKNOWN[-1]], "config": []}
    run_options = json.loads(found) if found else unknown
    values = [*run_options["config"], *config]
    return shlex.join(
        [run_options["program"], *words, *run_options["options"], *(["--config", *values] if values else [])]
    )


def redo(steps: Sequence[str]) -> list[str]:
    """The value of `--config` that allows to redo finished steps; empty without steps."""
    return [f"redo={steps[0] if len(steps) == 1 else '[' + ','.join(steps) + ']'}"] if steps else []


def remember_options(command_line: Sequence[str]) -> None:
    """Store the options that suggested commands repeat, for this process and its jobs.

    Args:
        command_line: the arguments of `snakemake`; those of `run`, if it was typed, take precedence.
    """
    typed = os.environ.get(TYPED)
    words: list[str] = json.loads(typed) if typed else ["snakemake", *command_line]
    program, *command_line = words
    options, config = [], []
    for option, values in _options(command_line):
        if option in CONFIG:
            config += [value for value in values if not value.startswith(ONCE)]
        else:
            options += [option, *values]
    os.environ[OPTIONS] = json.dumps({"program": program, "options": options, "config": config})


def _options(command_line: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """The options in `REPEATED`, with their values."""
    words = list(command_line)
    while words:
        option, _, value = words.pop(0).partition("=")
        if option[:2] == "-c" and option[2:].isdigit():
            yield option, []
        if option not in REPEATED:
            continue
        values = [value] if value else []
        most = REPEATED[option]
        while words and not words[0].startswith("-") and (most is None or len(values) < most):
            values.append(words.pop(0))
        yield option, values
