"""Check a Snakemake command line, then run Snakemake.

Snakemake reads config files before any code of the workflow runs, and fails with a traceback if one is missing or
invalid, or if a target follows `--configfile`. Outside the project folder, the paths of the Snakefile and profiles are
added, and a config is required: the embedded world is the default only in the project folder. A run needs a number of
cores or a profile.
"""

import json
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from workflow_scripts.common.cli import EXIT_BAD_INPUT
from workflow_scripts.common.config.root import read_yaml
from workflow_scripts.common.errors import InputError, did_you_mean
from workflow_scripts.common.remedies import TYPED

PROJECT = Path(__file__).resolve().parents[2]
SNAKEFILES = ("Snakefile", "snakefile", "workflow/Snakefile", "workflow/snakefile")
PROFILE = "--profile"
# With `-m snakemake`, the help would call this command `__main__.py`.
SNAKEMAKE = "import sys; from snakemake.cli import main; sys.argv[0] = 'run'; sys.exit(main())"
CONFIG_FILES = ("--configfile", "--configfiles")
CONFIG_SUFFIXES = (".yaml", ".yml", ".json")
CONFIG = Path("config/config.yaml")
FOLDER = ("--directory", "-d")
# Options of a run, which needs a number of cores beside them. With others, Snakemake may need none (`-n`, `--unlock`).
WITH_CORES = {
    *CONFIG_FILES,
    *FOLDER,
    *("--config", "-C", "--keep-going", "-k", "--printshellcmds", "-p", "--quiet", "-q"),
    *("--force", "-f", "--forceall", "-F", "--forcerun", "-R", "--rerun-incomplete", "--ri"),
}
DEFAULT_PROFILES = ("profiles/default", "workflow/profiles/default")
# Options that Snakemake answers without reading a workflow.
ANSWERED = ("--help", "-h", "--version", "-v")


def config_files(words: Sequence[str]) -> Iterator[str]:
    """The arguments that Snakemake reads as config files: all from `--configfile` to the next option."""
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
    """Check the config files of a command line.

    Args:
        words: the arguments of `snakemake`.

    Raises:
        InputError: a config file does not exist or is not YAML, a target follows `--configfile`, the folder has no
            config, or a run has no number of cores.
    """
    for word in config_files(words):
        path = Path(word)
        if not path.exists() and path.suffix not in CONFIG_SUFFIXES:
            raise InputError(
                f"{word}: read as a config file because it follows --configfile; put targets first: "
                f"{word} --configfile ..."
            )
        if not path.exists():
            names = [str(one) for one in (*path.parent.glob("*"), *Path("config").glob("*"))]
            guess = did_you_mean(word, (one for one in names if one.endswith(CONFIG_SUFFIXES)))
            raise InputError(f"{word}: no such config file{guess}")
        if not read_yaml(path):
            raise InputError(f"{word}: empty; add the keys of a config, or leave the file out")
    if not {*ANSWERED}.intersection(words) and _takes_our_snakefile(words) and not any(config_files(words)):
        folder = Path(next(_values(words, FOLDER), "."))
        if not (folder / CONFIG).exists() and folder.resolve() != PROJECT:
            raise InputError(
                f"{folder / CONFIG}: no config in this folder; write one for your photos with "
                f"`{shlex.join([sys.executable, '-m', 'workflow_scripts.common.init'])} PHOTOS`, or name one with "
                "--configfile"
            )
    has_profile = "SNAKEMAKE_PROFILE" in os.environ or any(map(os.path.exists, DEFAULT_PROFILES))
    if not has_profile and {word.partition("=")[0] for word in words if word.startswith("-")} <= WITH_CORES:
        raise InputError(
            "no number of cores: add --profile profiles/local (all cores of this machine) or --cores N; on a cluster, "
            "--profile profiles/slurm"
        )


def _values(words: Sequence[str], names: Sequence[str]) -> Iterator[str]:
    """The values of an option that takes one."""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        option, equals, value = word.partition("=")
        if option in names:
            yield value if equals else following


def _takes_our_snakefile(words: Sequence[str]) -> bool:
    named = any(word.startswith("-s") or word.partition("=")[0] == "--snakefile" for word in words)
    return not named and not any(map(os.path.exists, SNAKEFILES))


def located(words: Sequence[str]) -> Iterator[str]:
    """The command line with the paths of the project's Snakefile and profiles, if the current folder has none.

    Args:
        words: the arguments of `snakemake`.
    """
    if _takes_our_snakefile(words):
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
    if program := os.environ.get(TYPED):
        os.environ[TYPED] = json.dumps([program, *sys.argv[1:]])
    os.execv(sys.executable, [sys.executable, "-c", SNAKEMAKE, *located(sys.argv[1:])])
