"""Explain errors that Snakemake itself reports, in one line that says what is wrong and what to do."""

import os
import socket
import tempfile
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from workflow_scripts.common.errors import InputError, did_you_mean
from workflow_scripts.common.remedies import snakemake

RUNNING = Path(".snakemake/running")
"""Folder beside Snakemake's locks with one file per running Snakemake, named HOST:PID."""


def record_running() -> None:
    """Record this process, so that another Snakemake can name it; remove records of processes that ended."""
    RUNNING.mkdir(parents=True, exist_ok=True)
    for host, pid in _recorded():
        if host == socket.gethostname() and not _is_snakemake(pid):
            (RUNNING / f"{host}:{pid}").unlink(missing_ok=True)
    _own_record().touch()


def explain(workflow: Any) -> str | None:
    """Why Snakemake started no job: an unknown target or a locked folder; None for any other cause.

    Args:
        workflow: Snakemake's workflow, when its process exits.
    """
    if workflow.dag_settings is None or _own_record().exists():
        return None
    for target in sorted(map(str, workflow.dag_settings.targets)):
        if not _is_known(target, workflow.rules):
            names = [rule.name for rule in workflow.rules if not rule.has_wildcards()]
            return f"{target}: no such target or file{did_you_mean(target, names)}"
    if workflow.dag is not None and not workflow.output_settings.dryrun and workflow.persistence.locked:
        return _locked()
    return None


def check_writable(results: Path) -> None:
    """Check that the results folder is writable, by creating a temporary folder in it.

    Args:
        results: the site's results folder, which need not exist yet.

    Raises:
        InputError: it is not.
    """
    folder = next(filter(os.path.exists, (results, *results.absolute().parents)))
    if not folder.is_dir():
        raise InputError(f"{results}: {folder} is a file; set `results` in config/site.yaml to a folder")
    try:
        # Permission bits are not enough: /proc, read-only and lost file systems refuse writes too.
        with tempfile.TemporaryDirectory(dir=folder, prefix=".can-write-"):
            pass
    except OSError as error:
        raise InputError(
            f"{results}: cannot write to {folder} ({error.strerror}); set `results` in config/site.yaml to a folder "
            "that you can write to"
        ) from None


def _own_record() -> Path:
    return RUNNING / f"{socket.gethostname()}:{os.getpid()}"


def _is_known(target: str, rules: Iterable[Any]) -> bool:
    return Path(target).exists() or any(rule.name == target or rule.is_producer(target) for rule in rules)


def _locked() -> str:
    here, unlock = socket.gethostname(), snakemake("--unlock")
    running = [(host, pid) for host, pid in _recorded() if host != here or _is_snakemake(pid)]
    if not running:
        return f"this folder is locked by a run that was killed; run `{unlock}`, then repeat this command"
    host, pid = running[-1]
    since = datetime.fromtimestamp((RUNNING / f"{host}:{pid}").stat().st_mtime).strftime("%Y-%m-%d %H:%M")
    if host == here:
        return (
            f"another snakemake is running in this folder: process {pid}, since {since}; wait for it, or stop it with "
            f"kill -INT {pid}"
        )
    return (
        f"another snakemake is running in this folder: process {pid} on {host}, since {since}; wait for it, or, if it "
        f"has ended, run `{unlock}`, then repeat this command"
    )


def _recorded() -> list[tuple[str, int]]:
    """Host and process ID of each recorded Snakemake, the newest last."""
    files = sorted(RUNNING.glob("*:*"), key=lambda path: path.stat().st_mtime)
    return [(host, int(pid)) for host, _, pid in (file.name.rpartition(":") for file in files)]


def _is_snakemake(pid: int) -> bool:
    try:
        return b"snakemake" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
