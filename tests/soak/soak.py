"""`make soak`: the micro world, run again and again with one random fault each time.

A run counts as sound when it ends, after at most one plain rerun, in the bytes of the undisturbed run, or with a line
that says what is wrong. Each fault strikes at a random moment. The table of faults and outcomes goes to the terminal
and to `docs/faults.md`. Faults that need what this machine lacks (root for mounts, libfaketime) are left out by name.
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

from workflow_scripts.common.files import sha256_file, write_text

CORPUS, RUN = "results/corpora/micro", "results/runs/micro"
MICRO = "tests/workflow/micro.yaml"
FAKETIME = next(iter(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)
AWAKE = "import select, time; time.sleep = lambda seconds: select.select((), (), (), seconds) and None"
PATIENCE = 1200
PREAMBLE = (
    "Written by `make soak`. Each row is one run of the micro world with one fault at a random moment, and a rerun if\n"
    "the run stopped. Its files are compared with those of a run without faults."
)
ERROR = re.compile(r"^error: .+$", re.MULTILINE)

Mend = Callable[[], None]


@dataclass
class Soaked:
    """A run under way, and what the next fault may use."""

    project: Project
    dice: random.Random
    snakemake: subprocess.Popen[str]

    def processes(self, words: str = "") -> list[int]:
        """The processes of this run: those that work in its folder, by words of their command line."""
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
        """The newest file of a pattern, once there is one (or the run has ended)."""
        while True:
            files = [path for path in self.project.folder.glob(pattern) if path.is_file()]
            if files or self.snakemake.poll() is not None:
                return max(files, key=lambda path: path.stat().st_mtime)
            time.sleep(0.1)


def nothing() -> None:
    """No mending is needed."""


def kill_any_process(run: Soaked) -> Mend:
    """Kill -9 of a random process of the run."""
    if alive := run.processes():
        run.kill([run.dice.choice(alive)])
    return nothing


def kill_snakemake(run: Soaked) -> Mend:
    """Kill -9 of Snakemake; its jobs live on."""
    run.kill([run.snakemake.pid])
    return nothing


def terminate_snakemake(run: Soaked) -> Mend:
    """SIGTERM to Snakemake."""
    run.kill([run.snakemake.pid], signal.SIGTERM)
    return nothing


def kill_training(run: Soaked) -> Mend:
    """Kill -9 of one rank of the training."""
    run.wait_for(f"{RUN}/.work/train/*/metrics.jsonl")
    if ranks := run.processes("workflow_scripts.train.run"):
        run.kill([run.dice.choice(ranks)])
    return nothing


def corrupt_checkpoint(run: Soaked) -> Mend:
    """Kill -9 of the training, and a flipped byte in its newest checkpoint."""
    run.wait_for(f"{RUN}/.work/train/*/metrics.jsonl")
    time.sleep(run.dice.uniform(5, 20))
    run.kill(run.processes("workflow_scripts.train"))
    files = [path for path in run.project.path(f"{RUN}/.work/train").rglob("*") if path.is_file()]
    large = [path for path in files if path.stat().st_size > 100_000]
    if large:
        newest = max(large, key=lambda path: path.stat().st_mtime)
        data = bytearray(newest.read_bytes())
        data[run.dice.randrange(len(data))] ^= 0x40
        newest.write_bytes(data)
    return nothing


def kill_the_world(run: Soaked) -> Mend:
    """Every host gone: the server dies in the middle of the downloads."""
    run.wait_for(f"{CORPUS}/.work/download/*/key.json")
    run.kill(run.processes("workflow_scripts.world.serve"))
    return nothing


def truncate_input(run: Soaked) -> Mend:
    """An input loses its second half, and gets it back before the rerun."""
    source = run.wait_for("results/world/micro/catalog.parquet")
    kept, times = source.read_bytes(), source.stat()
    source.write_bytes(kept[: len(kept) // 2])

    def mend() -> None:
        source.write_bytes(kept)
        os.utime(source, ns=(times.st_atime_ns, times.st_mtime_ns))

    return mend


def delete_shard(run: Soaked) -> Mend:
    """A shard is deleted, with its group's manifest, as by the purge of a scratch disk."""
    shard = run.wait_for(f"{CORPUS}/shards/g000/train/shard-*.tar")
    shard.unlink()
    for manifest in run.project.path(f"{CORPUS}/shards/g000/groups").glob("*.manifest.parquet"):
        manifest.unlink()
    return nothing


def two_at_once(run: Soaked) -> Mend:
    """A second Snakemake on the same work; it must refuse, and spoil nothing."""
    second = run.project.snakemake("all")
    assert second.returncode != 0 or run.snakemake.poll() is not None, "a second run went ahead beside the first"
    return nothing


def read_only(run: Soaked) -> Mend:
    """The results' file system turns read-only, and is writable again before the rerun."""
    results = str(run.project.path("results"))
    # As long as a file is open for writing, it is refused.
    while subprocess.run(
        ["mount", "-o", "remount,ro,bind", results], check=False, stderr=subprocess.DEVNULL
    ).returncode:
        if run.snakemake.poll() is not None:
            return nothing
        time.sleep(0.05)
    return lambda: subprocess.run(["mount", "-o", "remount,rw,bind", results], check=True) and None


def full_disk(run: Soaked) -> Mend:
    """The disk of the results is full, and has room again before the rerun."""
    results = str(run.project.path("results"))
    used = shutil.disk_usage(results).used
    subprocess.run(["mount", "-o", f"remount,size={used + 200_000}", results], check=True)
    return lambda: subprocess.run(["mount", "-o", "remount,size=8g", results], check=True) and None


def jump_clock(run: Soaked) -> Mend:
    """The clock jumps by 400 days."""
    run.project.path("clock").write_text("+400d\n")
    return lambda: run.project.path("clock").write_text("+0\n") and None


FAULTS = (kill_any_process, kill_snakemake, terminate_snakemake, kill_training, corrupt_checkpoint, kill_the_world)
FAULTS += (truncate_input, delete_shard, two_at_once, read_only, full_disk, jump_clock)
MOUNTS = {read_only: ["--bind"], full_disk: ["-t", "tmpfs", "-o", "size=8g"]}


@contextmanager
def prepared(fault: Callable[[Soaked], Mend] | None) -> Iterator[tuple[Project, dict[str, str]]]:
    """A fresh project for one run, on the file system that the fault needs, and its environment."""
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    project = copy_project(folder)
    # A port of its own, beside tests that run at the same time.
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
        # The monotonic clock never jumps. Python sleeps by it, in a way that libfaketime makes fail.
        project.path("sitecustomize.py").write_text(AWAKE)
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
    """SHA-256 of everything that the same config must always give."""
    patterns = [f"{CORPUS}/{name}" for name in ("taxonomy/labels.parquet", "curate/*/verdicts.parquet")]
    patterns += [f"{CORPUS}/shards/g000/*/*.tar", f"{CORPUS}/shards/g000/*/index.parquet", f"{CORPUS}/replay/*/*.tar"]
    patterns += [f"{RUN}/train/model.safetensors", f"{RUN}/scores/*/*.json"]
    files = [path for pattern in patterns for path in project.folder.glob(pattern)]
    return {str(path.relative_to(project.folder)): sha256_file(path) for path in files}


def differing(got: dict[str, str], wanted: dict[str, str]) -> list[str]:
    return sorted(name for name in got.keys() | wanted.keys() if got.get(name) != wanted.get(name))


def soak(fault: Callable[[Soaked], Mend], wanted: dict[str, str], seconds: float, seed: int) -> tuple[bool, str]:
    """Run once with a fault.

    Returns:
        Whether the run was sound, and what became of it.
    """
    dice = random.Random(seed)
    with prepared(fault) as (project, environment):
        run = Soaked(project, dice, start(project, environment))
        with suppress(subprocess.TimeoutExpired):
            run.snakemake.wait(timeout=dice.uniform(0.05, 0.85) * seconds)
        mend = fault(run)
        run.snakemake.wait(timeout=PATIENCE)
        mend()
        if run.snakemake.returncode == 0 and not differing(sums(project), wanted):
            return True, "no harm: the same bytes"
        said = ERROR.findall(project.path("printed.txt").read_text())
        first = said[-1] if said else "ended without a line of its own"
        project.snakemake("--unlock")
        again = start(project, environment)
        again.wait(timeout=PATIENCE)
        run.kill([pid for pid in run.processes("workflow_scripts") if pid != os.getpid()])
        others = differing(sums(project), wanted)
        if again.returncode == 0 and not others:
            return True, f"the same bytes after a rerun ({first})"
        said = ERROR.findall(project.path("printed.txt").read_text())
        if again.returncode and said:
            return True, f"stopped: {said[-1]}"
        shutil.copy(project.path("printed.txt"), f"soak-{fault.__name__}-{seed}.log")
        return False, f"UNSOUND: exit {again.returncode}, other bytes in {', '.join(others[:3]) or 'nothing'}"


def possible(fault: Callable[[Soaked], Mend]) -> str:
    """Why a fault cannot be made here, or nothing."""
    if fault in MOUNTS and os.geteuid() != 0:
        return "mounts need root"
    if fault is jump_clock and FAKETIME is None:
        return "no libfaketime"
    return ""


def main() -> None:
    """Soak, print the table, keep it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=[])
    chosen = parser.parse_args()
    chance = random.Random(chosen.seed)
    faults = [fault for fault in FAULTS if not chosen.only or fault.__name__ in chosen.only]
    for fault in list(faults):
        if reason := possible(fault):
            sys.stdout.write(f"left out: {fault.__name__}: {reason}\n")
            faults.remove(fault)
    started = time.monotonic()
    with prepared(None) as (project, environment):
        assert start(project, environment).wait(timeout=PATIENCE) == 0, project.path("printed.txt").read_text()
        wanted, seconds = sums(project), time.monotonic() - started
    lines = [f"Undisturbed: {seconds:.0f} s, {len(wanted)} files compared.", "", "| fault | outcome |", "|---|---|"]
    unsound = 0
    # Each fault once, then at random.
    order = [*chance.sample(faults, len(faults)), *chance.choices(faults, k=chosen.times)][: chosen.times]
    for number, fault in enumerate(order):
        sound, outcome = soak(fault, wanted, seconds, chosen.seed * 1000 + number)
        unsound += not sound
        lines.append(f"| {(fault.__doc__ or '').rstrip('.')} | {outcome.replace('|', '/')} |")
        sys.stdout.write(f"{number + 1}/{len(order)} {fault.__name__}: {outcome}\n")
        sys.stdout.flush()
        if not chosen.only:
            # After each: an hour is long, and what was seen is worth keeping.
            write_text(
                Path("docs/faults.md"),
                "\n".join(["# Faults and outcomes", "", PREAMBLE, "", *lines, ""]),
            )
    sys.exit(1 if unsound else 0)


if __name__ == "__main__":
    main()
