"""Check a Snakemake command line, then run Snakemake.

Snakemake reads config files before the workflow's own code runs, and answers with a traceback where one is missing, is
broken, or is a target that stands behind them. From another folder it is told where the Snakefile and the profiles are.
"""

import difflib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from workflow_scripts.common.cli import EXIT_BAD_INPUT
from workflow_scripts.common.config.root import read_yaml
from workflow_scripts.common.errors import InputError

PROJECT = Path(__file__).resolve().parents[2]
SNAKEFILES = ("Snakefile", "snakefile", "workflow/Snakefile", "workflow/snakefile")
PROFILE = "--profile"
CONFIG_FILES = ("--configfile", "--configfiles")
CONFIG_SUFFIXES = (".yaml", ".yml", ".json")


def config_files(words: Sequence[str]) -> Iterator[str]:
    """The words that Snakemake takes as config files: all behind the option, up to the next one."""
    within = False
    for word in words:
        option, _, value = word.partition("=")
        if word.startswith("-"):
            within = option in CONFIG_FILES
            if within and value:
                yield value
        elif within:
            yield word


def check(words: Sequence[str]) -> None:
    """Raise InputError if a config file is missing or no YAML, or a target was taken as one.

    Args:
        words: the command line behind `snakemake`.
    """
    for word in config_files(words):
        path = Path(word)
        if not path.exists() and path.suffix not in CONFIG_SUFFIXES:
            raise InputError(
                f"{word}: read as a config file, because it stands behind --configfile; put targets first: "
                f"{word} --configfile ..."
            )
        if not path.exists():
            names = [str(one) for one in (*path.parent.glob("*"), *Path("config").glob("*"))]
            near = difflib.get_close_matches(word, [one for one in names if one.endswith(CONFIG_SUFFIXES)], n=1)
            raise InputError(f"{word}: no such config file" + (f"; did you mean {near[0]}?" if near else ""))
        read_yaml(path)


def located(words: Sequence[str]) -> Iterator[str]:
    """The command line with the project's Snakefile and profiles, where the folder that it is given in has none.

    Args:
        words: the command line behind `snakemake`.
    """
    named = any(word.startswith("-s") or word.partition("=")[0] == "--snakefile" for word in words)
    if not named and not any(map(os.path.exists, SNAKEFILES)):
        yield f"--snakefile={PROJECT / 'Snakefile'}"
    before = ""
    for word in words:
        option, _, value = f"{PROFILE}={word}".partition("=") if before == PROFILE else word.partition("=")
        is_ours = option == PROFILE and value and not Path(value).exists() and Path(PROJECT, value).is_dir()
        yield word.removesuffix(value) + str(PROJECT / value) if is_ours else word
        before = word


if __name__ == "__main__":
    try:
        check(sys.argv[1:])
    except InputError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(EXIT_BAD_INPUT)
    os.execv(sys.executable, [sys.executable, "-m", "snakemake", *located(sys.argv[1:])])
