"""Snakemake's command, run from a process that has imported it already.

Importing Snakemake takes longer than most plans of these tests. One process a worker imports it and the libraries that
every plan imports, and forks for each command: the child has the command's folder, environment, arguments and files,
and nothing of the project is imported before it.
"""

import atexit
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

LIBRARIES = ("docutils.core", "jinja2", "PIL.Image", "pyarrow.parquet", "requests", "smart_open", "tyro", "yte")
SNAKEMAKE = str(Path(sys.executable).with_name("snakemake"))


def environment(**variables: str) -> dict[str, str]:
    """The caller's environment, without the path to this copy of the project, and with more variables."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | variables


def snakemake(folder: Path, *words: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Snakemake in a folder to its end.

    Args:
        folder: the working folder.
        words: the command line behind `snakemake`.
        variables: environment variables beside the caller's.
    """
    command = [SNAKEMAKE, *map(str, words)]
    server = _server()
    assert server.stdin and server.stdout
    with tempfile.TemporaryDirectory() as name:
        out, error = Path(name, "stdout"), Path(name, "stderr")
        request = [str(folder), command, environment(**variables), str(out), str(error)]
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        status = int(server.stdout.readline())
        return subprocess.CompletedProcess(command, status, out.read_text(), error.read_text())


@cache
def _server() -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-P", __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(),
        text=True,
    )
    # It ends with its standard input.
    atexit.register(process.communicate)
    return process


def serve() -> None:
    """Answer each request, a line of JSON, by the exit status of its command; in the child, return to run it."""
    for line in sys.stdin:
        folder, command, variables, out, error = json.loads(line)
        if child := os.fork():
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            sys.stdout.write(f"{status}\n")
            sys.stdout.flush()
            continue
        start(folder, command, variables, (os.devnull, out, error))
        return
    sys.exit()


def start(folder: str, command: Sequence[str], variables: dict[str, str], files: Sequence[str]) -> None:
    """Become the command's process, with `files` as its standard streams."""
    for descriptor, path in enumerate(files):
        opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        os.dup2(opened, descriptor)
        os.close(opened)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    sys.argv = list(command)
    sys.path.insert(0, str(Path(command[0]).parent))


if __name__ == "__main__":
    import gc
    import importlib

    from snakemake.cli import get_argument_parser, main

    # Finds Snakemake's plugins, which are kept.
    get_argument_parser()
    for library in LIBRARIES:
        importlib.import_module(library)
    gc.freeze()
    serve()
    main()
