"""After kill -9 of jobs or of Snakemake, a rerun gives the same bytes as an undisturbed run."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.digests import digests

pytestmark = pytest.mark.slow

CORPUS = "results/corpora/micro"
RUN = "results/runs/micro"


def start(project: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        project.command("train"),
        cwd=project.folder,
        env=project.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def wait_until(true: Callable[[], bool], snakemake: subprocess.Popen[bytes], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert snakemake.poll() is None, "the workflow ended before the moment to kill it"
        assert time.monotonic() < deadline, "the moment to kill it never came"
        time.sleep(0.05)


def processes_in(folder: Path, words: str) -> list[int]:
    """Processes working in `folder` whose command line holds `words`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if words in command and (entry / "cwd").resolve() == folder:
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def kill(pids: list[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def sums(project: Any) -> dict[str, str]:
    shards = [f"{CORPUS}/{folder}/**/shard-*.tar" for folder in ("shards/g000", "replay")]
    found = digests(project.folder, *shards, f"{CORPUS}/taxonomy/labels.parquet", f"{RUN}/train/model.safetensors")
    assert len(found) > 4
    return found


@pytest.fixture
def before_downloads(copy: Any) -> Any:
    """The finished project as it was before its first download: what comes before is not killed here."""
    gone = [
        *(f"{CORPUS}/{name}" for name in ("download", ".work/download", "curate", "shards", ".work/shards")),
        *(RUN, "results/shared/.work/features"),
    ]
    for name in gone:
        shutil.rmtree(copy.path(name))
    return copy


def test_kills_do_not_change_the_result(before_downloads: Any, finished: Any) -> None:
    fresh = before_downloads
    # A download job dies: Snakemake stops, and nothing of its part is published.
    snakemake = start(fresh)
    wait_until(lambda: any(fresh.path(f"{CORPUS}/.work/download").glob("*/key.json")), snakemake)
    kill(processes_in(fresh.folder, "workflow_scripts.download.fetch"))
    assert snakemake.wait(timeout=120) != 0

    # Snakemake dies in the middle of training; its job lives on or dies, and either way one writer is left.
    snakemake = start(fresh)
    metrics = fresh.path(f"{RUN}/.work/train")
    wait_until(lambda: any(file.stat().st_size > 0 for file in metrics.glob("*/metrics.jsonl")), snakemake)
    shards_finished = {file: file.stat().st_mtime_ns for file in fresh.path(f"{CORPUS}/.work").rglob("done.json")}
    snakemake.kill()
    snakemake.wait()
    assert not fresh.path(f"{RUN}/train/summary.json").exists()
    assert fresh.snakemake("train").returncode != 0, "a killed Snakemake leaves its lock"
    fresh.run("--unlock")
    fresh.run("train")

    # No finished part was made again, and nobody is left working.
    assert {file: file.stat().st_mtime_ns for file in shards_finished} == shards_finished
    assert processes_in(fresh.folder, "workflow_scripts") == []
    assert sums(fresh) == sums(finished)
    assert fresh.planned("train") == {}
