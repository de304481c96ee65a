"""`make soak`: run the micro world repeatedly, each time with one fault at a random moment.

A run passes if, after at most one rerun without arguments, its files equal those of a run without faults, if the rerun
stops with an error line, or if `snakemake verify` lists the files that no step needed any more. The table of faults and
outcomes is printed and written to `docs/faults.md`. Faults that need root (for mounts) or libfaketime are skipped where
these are missing; the skipped ones are listed.
"""

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from conftest import Project, copy_project

from tests.digests import digests
from workflow_scripts.common.files import write_text

CORPUS, RUN = "results/corpora/micro", "results/runs/micro"
MICRO = "tests/workflow/micro.yaml"
FAKETIME = next(iter(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)
SLEEP = "import select, time; time.sleep = lambda seconds: select.select((), (), (), seconds) and None"
MAX_SECONDS = 1200
PREAMBLE = (
    "Written by `make soak`. Each row is one run of the micro world with one fault at a random moment, followed by a\n"
    "rerun if the run failed. Its files are compared with those of a run without faults."
)
ERROR = re.compile(r"^error: .+$", re.MULTILINE)

Repair = Callable[[], None]


@dataclass
class Soaked:
    """A run in progress, with its project and random generator."""

    project: Project
    rng: random.Random
    snakemake: subprocess.Popen[str]

    def processes(self, words: str = "") -> list[int]:
        """The run's processes (those whose working directory is its folder) whose command line contains `words`."""
        found = []
        for entry in Path("/proc").iterdir():
            with suppress(OSError, ValueError):
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if words in command and (entry / "cwd").resolve() == self.project.folder:
                    found.append(int(entry.name))
        return sorted(found)

    def kill(self, pids: list[int], by: signal.Signals = signal.SIGKILL) -> None:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, by)

    def wait_for(self, pattern: str) -> Path:
        """Wait until a file matches the pattern or the run has ended; return the newest match."""
        while True:
            files = [path for path in self.project.folder.glob(pattern) if path.is_file()]
            if files or self.snakemake.poll() is not None:
                return max(files, key=lambda path: path.stat().st_mtime)
            time.sleep(0.1)


def nothing() -> None:
    """Repair nothing: the fault leaves nothing to undo."""


def kill_any_process(run: Soaked) -> Repair:
    """SIGKILL to a random process of the run."""
    if alive := run.processes():
        run.kill([run.rng.choice(alive)])
    return nothing


def kill_snakemake(run: Soaked) -> Repair:
    """SIGKILL to Snakemake; its jobs keep running."""
    run.kill([run.snakemake.pid])
    return nothing


def terminate_snakemake(run: Soaked) -> Repair:
    """SIGTERM to Snakemake."""
    run.kill([run.snakemake.pid], signal.SIGTERM)
    return nothing


def kill_training(run: Soaked) -> Repair:
    """SIGKILL to one rank of the training."""
    run.wait_for(f"{RUN}/.work/train/*/metrics.jsonl")
    if ranks := run.processes("workflow_scripts.train.run"):
        run.kill([run.rng.choice(ranks)])
    return nothing


def corrupt_checkpoint(run: Soaked) -> Repair:
    """SIGKILL to the training, and a bit is flipped in its newest checkpoint."""
    run.wait_for(f"{RUN}/.work/train/*/metrics.jsonl")
    time.sleep(run.rng.uniform(5, 20))
    run.kill(run.processes("workflow_scripts.train"))
    files = [path for path in run.project.path(f"{RUN}/.work/train").rglob("*") if path.is_file()]
    large = [path for path in files if path.stat().st_size > 100_000]
    if large:
        newest = max(large, key=lambda path: path.stat().st_mtime)
        data = bytearray(newest.read_bytes())
        data[run.rng.randrange(len(data))] ^= 0x40
        newest.write_bytes(data)
    return nothing


def kill_the_world(run: Soaked) -> Repair:
    """The server of all hosts is killed during the downloads."""
    run.wait_for(f"{CORPUS}/.work/download/*/key.json")
    run.kill(run.processes("workflow_scripts.world.serve"))
    return nothing


def truncate_input(run: Soaked) -> Repair:
    """An input is truncated to half its size, and restored before the rerun."""
    source = run.wait_for("results/world/micro/catalog.parquet")
    kept, times = source.read_bytes(), source.stat()
    source.write_bytes(kept[: len(kept) // 2])

    def repair() -> None:
        source.write_bytes(kept)
        os.utime(source, ns=(times.st_atime_ns, times.st_mtime_ns))

    return repair


def delete_shard(run: Soaked) -> Repair:
    """A shard and its group's manifest are deleted, as by the purge of a scratch disk."""
    shard = run.wait_for(f"{CORPUS}/shards/g000/train/shard-*.tar")
    shard.unlink()
    for manifest in run.project.path(f"{CORPUS}/shards/g000/groups").glob("*.manifest.parquet"):
        manifest.unlink()
    return nothing


def two_at_once(run: Soaked) -> Repair:
    """A second Snakemake starts on the same results; it must refuse and change nothing."""
    second = run.project.snakemake("all")
    assert second.returncode != 0 or run.snakemake.poll() is not None, "the second run did not refuse"
    return nothing


def read_only(run: Soaked) -> Repair:
    """The results' file system becomes read-only, and is writable again before the rerun."""
    results = str(run.project.path("results"))
    # Remounting fails while a file is open for writing.
    while subprocess.run(
        ["mount", "-o", "remount,ro,bind", results], check=False, stderr=subprocess.DEVNULL
    ).returncode:
        if run.snakemake.poll() is not None:
            return nothing
        time.sleep(0.05)
    return lambda: subprocess.run(["mount", "-o", "remount,rw,bind", results], check=True) and None


def full_disk(run: Soaked) -> Repair:
    """The results' disk is full, and has space again before the rerun."""
    results = str(run.project.path("results"))
    used = shutil.disk_usage(results).used
    subprocess.run(["mount", "-o", f"remount,size={used + 200_000}", results], check=True)
    return lambda: subprocess.run(["mount", "-o", "remount,size=8g", results], check=True) and None


def jump_clock(run: Soaked) -> Repair:
    """The clock jumps forward by 400 days."""
    run.project.path("clock").write_text("+400d\n")
    return lambda: run.project.path("clock").write_text("+0\n") and None


FAULTS = (kill_any_process, kill_snakemake, terminate_snakemake, kill_training, corrupt_checkpoint, kill_the_world)
FAULTS += (truncate_input, delete_shard, two_at_once, read_only, full_disk, jump_clock)
MOUNTS = {read_only: ["--bind"], full_disk: ["-t", "tmpfs", "-o", "size=8g"]}


@contextmanager
def prepared(fault: Callable[[Soaked], Repair] | None) -> Iterator[tuple[Project, dict[str, str]]]:
    """A new project for one run, on the file system that the fault needs, and its environment."""
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    project = copy_project(folder)
    # Another port than that of tests that may be running.
    project.edit(MICRO, "port: 18931", "port: 18941")
    project.edit(MICRO, "images_per_species: 12", "images_per_species: 8")
    results = project.path("results")
    results.mkdir()
    environment = project.environment()
    mounted = fault in MOUNTS
    if mounted:
        source = [str(results)] if fault is read_only else ["tmpfs"]
        subprocess.run(["mount", *MOUNTS[fault], *source, str(results)], check=True)
    if fault is jump_clock:
        project.path("clock").write_text("+0\n")
        environment |= {"LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(project.path("clock"))}
        environment |= {"FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_RESET": "1"}
        # The monotonic clock never jumps, but libfaketime breaks Python's sleep, which uses it.
        project.path("sitecustomize.py").write_text(SLEEP)
        environment["PYTHONPATH"] = str(project.folder)
    try:
        yield project, environment
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(results)], check=True)
        shutil.rmtree(folder, ignore_errors=True)


def start(project: Project, environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        project.command("all"),
        cwd=project.folder,
        env=environment,
        stdout=project.path("printed.txt").open("a"),
        stderr=subprocess.STDOUT,
        text=True,
    )


def sums(project: Project) -> dict[str, str]:
    """SHA-256 of the files that depend only on the config."""
    patterns = [f"{CORPUS}/{name}" for name in ("taxonomy/labels.parquet", "curate/*/verdicts.parquet")]
    patterns += [f"{CORPUS}/shards/g000/*/*.tar", f"{CORPUS}/shards/g000/*/index.parquet", f"{CORPUS}/replay/*/*.tar"]
    patterns += [f"{RUN}/train/model.safetensors", f"{RUN}/scores/*/*.json"]
    return digests(project.folder, *patterns)


def differing(found: dict[str, str], expected: dict[str, str]) -> list[str]:
    return sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))


def soak(fault: Callable[[Soaked], Repair], expected: dict[str, str], seconds: float, seed: int) -> tuple[bool, str]:
    """Run once with a fault.

    Returns:
        Whether the run passed, and its outcome.
    """
    rng = random.Random(seed)
    with prepared(fault) as (project, environment):
        run = Soaked(project, rng, start(project, environment))
        with suppress(subprocess.TimeoutExpired):
            run.snakemake.wait(timeout=rng.uniform(0.05, 0.85) * seconds)
        repair = fault(run)
        run.snakemake.wait(timeout=MAX_SECONDS)
        repair()
        if run.snakemake.returncode == 0 and not differing(sums(project), expected):
            return True, "same bytes, no rerun needed"
        printed = project.path("printed.txt")
        errors = ERROR.findall(printed.read_text())
        first = errors[-1] if errors else "no error line"
        project.snakemake("--unlock")
        rerun = start(project, environment)
        rerun.wait(timeout=MAX_SECONDS)
        run.kill([pid for pid in run.processes("workflow_scripts") if pid != os.getpid()])
        others = differing(sums(project), expected)
        if rerun.returncode == 0 and not others:
            return True, f"same bytes after a rerun ({first})"
        if rerun.returncode == 0 and not any(project.path(name).exists() for name in others):
            # A file that disappears after its last reader stops no run.
            verified = project.snakemake("verify")
            if all(name in verified.stdout + verified.stderr for name in others):
                return True, f"no step needed {', '.join(others)} any more; `snakemake verify` lists it as missing"
        errors = ERROR.findall(printed.read_text())[len(errors) :]
        if rerun.returncode and errors:
            return True, f"stopped: {errors[-1]}"
        shutil.copy(printed, f"soak-{fault.__name__}-{seed}.log")
        return False, f"FAILED: exit {rerun.returncode}, different bytes in {', '.join(others[:3]) or 'nothing'}"


def obstacle(fault: Callable[[Soaked], Repair]) -> str:
    """Why a fault cannot be injected on this machine; "" if it can."""
    if fault in MOUNTS and os.geteuid() != 0:
        return "mounts need root"
    if fault is jump_clock and FAKETIME is None:
        return "no libfaketime"
    return ""


def main() -> None:
    """Run all faults, and print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=[])
    chosen = parser.parse_args()
    rng = random.Random(chosen.seed)
    faults = [fault for fault in FAULTS if not chosen.only or fault.__name__ in chosen.only]
    for fault in list(faults):
        if reason := obstacle(fault):
            sys.stdout.write(f"skipped: {fault.__name__}: {reason}\n")
            faults.remove(fault)
    started = time.monotonic()
    with prepared(None) as (project, environment):
        assert start(project, environment).wait(timeout=MAX_SECONDS) == 0, project.path("printed.txt").read_text()
        expected, seconds = sums(project), time.monotonic() - started
    lines = [
        f"Run without faults: {seconds:.0f} s, {len(expected)} files compared.",
        "",
        "| fault | outcome |",
        "|---|---|",
    ]
    failed = 0
    # Each fault once, then at random.
    order = [*rng.sample(faults, len(faults)), *rng.choices(faults, k=chosen.times)][: chosen.times]
    for number, fault in enumerate(order):
        passed, outcome = soak(fault, expected, seconds, chosen.seed * 1000 + number)
        failed += not passed
        lines.append(f"| {(fault.__doc__ or '').rstrip('.')} | {outcome.replace('|', '/')} |")
        sys.stdout.write(f"{number + 1}/{len(order)} {fault.__name__}: {outcome}\n")
        sys.stdout.flush()
        if not chosen.only:
            # After each run, so that an interrupted soak keeps its rows.
            write_text(
                Path("docs/faults.md"),
                "\n".join(["# Faults and outcomes", "", PREAMBLE, "", *lines, ""]),
            )
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
