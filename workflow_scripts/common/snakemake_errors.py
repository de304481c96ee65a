"""One last line for errors that Snakemake itself reports: what is wrong and what to do."""

import difflib
import os
import socket
import tempfile
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from workflow_scripts.common.errors import InputError
from workflow_scripts.common.remedies import snakemake

RUNNING = Path(".snakemake/running")
"""Beside Snakemake's locks: a file for each of its processes, named by host and process."""


def record_running() -> None:
    """Leave word of this process, for whoever finds this folder locked; forget processes that ended."""
    RUNNING.mkdir(parents=True, exist_ok=True)
    for host, pid in _recorded():
        if host == socket.gethostname() and not _is_snakemake(pid):
            (RUNNING / f"{host}:{pid}").unlink(missing_ok=True)
    _own_record().touch()


def explain(workflow: Any) -> str | None:
    """What kept Snakemake from starting any job, where it is one of these: an unknown target, a locked folder.

    Args:
        workflow: Snakemake's, when its process ends.
    """
    if workflow.dag_settings is None or _own_record().exists():
        return None
    for target in sorted(map(str, workflow.dag_settings.targets)):
        if not _is_known(target, workflow.rules):
            names = [rule.name for rule in workflow.rules if not rule.has_wildcards()]
            near = difflib.get_close_matches(target, names, n=1)
            return f"{target}: no such target or file" + (f"; did you mean {near[0]}?" if near else "")
    if workflow.dag is not None and not workflow.output_settings.dryrun and workflow.persistence.locked:
        return _locked()
    return None


def check_writable(results: Path) -> None:
    """Raise InputError if nothing can be written to the results folder, by making a folder there for a moment.

    Args:
        results: the site's folder, which need not exist yet.
    """
    folder = next(filter(os.path.exists, (results, *results.absolute().parents)))
    if not folder.is_dir():
        raise InputError(f"{results}: {folder} is a file; set `results` in config/site.yaml to a folder")
    try:
        # Permissions alone do not say it: of /proc, a read-only or a lost file system.
        with tempfile.TemporaryDirectory(dir=folder, prefix=".can-write-"):
            pass
    except OSError as error:
        raise InputError(
            f"{results}: cannot write to {folder} ({error.strerror}); set `results` in config/site.yaml to a folder "
            "of yours"
        ) from None


def _own_record() -> Path:
    return RUNNING / f"{socket.gethostname()}:{os.getpid()}"


def _is_known(target: str, rules: Iterable[Any]) -> bool:
    return Path(target).exists() or any(rule.name == target or rule.is_producer(target) for rule in rules)


def _locked() -> str:
    here, unlock = socket.gethostname(), snakemake("--unlock")
    running = [(host, pid) for host, pid in _recorded() if host != here or _is_snakemake(pid)]
    if not running:
        return f"a killed run left its lock, and nothing runs here any more: `{unlock}`, then this command again"
    host, pid = running[-1]
    since = datetime.fromtimestamp((RUNNING / f"{host}:{pid}").stat().st_mtime).strftime("%Y-%m-%d %H:%M")
    if host == here:
        return (
            f"another snakemake works on the same files: process {pid}, since {since}; wait for it, or end it with "
            f"kill -INT {pid}"
        )
    return (
        f"another snakemake works on the same files: process {pid} on {host}, since {since}; wait for it, or, if it no "
        f"longer runs there: `{unlock}`, then this command again"
    )


def _recorded() -> list[tuple[str, int]]:
    """Host and process of those that left word, the newest last."""
    files = sorted(RUNNING.glob("*:*"), key=lambda path: path.stat().st_mtime)
    return [(host, int(pid)) for host, _, pid in (file.name.rpartition(":") for file in files)]


def _is_snakemake(pid: int) -> bool:
    try:
        return b"snakemake" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
