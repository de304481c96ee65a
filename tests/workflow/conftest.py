"""Fixtures: copies of the project, without results or with one finished run of the micro world."""

import csv
import fcntl
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.workflow.commands import SNAKEMAKE, environment, snakemake

ROOT = Path(__file__).resolve().parents[2]
CONFIG_FILES = ("config/config.yaml", "tests/workflow/micro.yaml")
PARTS_OF_PROJECT = (
    "Snakefile",
    "pyproject.toml",
    "rules",
    "workflow_scripts",
    "config",
    "envs",
    "profiles",
    "tests/workflow/micro.yaml",
)
FAMILIES = {"Araneidae", "Apidae", "Felidae", "Anatidae", "Rosaceae", "Pinaceae", "Ranidae", "Boletaceae"}
TOKEN = "hf_a_secret_that_nobody_may_read"
ENTRY = re.compile(r"^(\w+) +(\d+)$", re.MULTILINE)


@dataclass
class Project:
    """A copy of the project that a test may change."""

    folder: Path

    def command(self, *words: str) -> list[str]:
        """The Snakemake command line, without an activated environment."""
        return [SNAKEMAKE, "--configfile", *CONFIG_FILES, "--profile", "profiles/local", *words]

    def environment(self) -> dict[str, str]:
        """The caller's environment, with no other copy of the project in it, and with a secret."""
        return environment(HF_TOKEN=TOKEN)

    def snakemake(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run Snakemake to its end."""
        return snakemake(self.folder, *self.command(*words)[1:], HF_TOKEN=TOKEN)

    def typed(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a Snakemake command as it is printed."""
        program, *words = shlex.split(command)
        assert program == "snakemake"
        return snakemake(self.folder, *words, HF_TOKEN=TOKEN)

    def run(self, *words: str) -> str:
        """Run Snakemake, which must succeed; what it printed."""
        done = self.snakemake(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def planned(self, *words: str) -> dict[str, int]:
        """The jobs of a dry run: rule name to count, `total` and target rules left out."""
        return jobs_of(self.run("-n", *words))

    def path(self, name: str) -> Path:
        """A file of the copy."""
        return self.folder / name

    def edit(self, name: str, old: str, new: str) -> None:
        """Change a file of the copy."""
        text = self.path(name).read_text()
        assert old in text, f"{name} has no {old!r}"
        self.path(name).write_text(text.replace(old, new, 1))

    def copied(self, folder: Path) -> "Project":
        """All of it again, to be changed for good."""
        copy_folder(self.folder, folder)
        return Project(folder)


def jobs_of(text: str) -> dict[str, int]:
    """The jobs that a dry run printed: rule name to count, `total` and target rules left out."""
    if "Job stats:" not in text:
        assert "Nothing to be done" in text, text
        return {}
    stats = text.rsplit("Job stats:", maxsplit=1)[-1]
    return {name: int(count) for name, count in ENTRY.findall(stats) if name not in ("total", "all", "job")}


def copy_folder(source: Path, target: Path) -> None:
    """A folder again, with its times; linked files become files of their own.

    `cp` copies within the kernel, which takes a third of the time of `shutil`.
    """
    target.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", "--no-preserve=links", f"{source}/.", target], check=True)


def copy_project(folder: Path) -> Project:
    """The tracked parts of the project, in `folder`."""
    copy_folder(Path(_tracked_parts().name), folder)
    return Project(folder)


@cache
def _tracked_parts() -> "tempfile.TemporaryDirectory[str]":
    """What every copy begins as. It lasts as long as this process."""
    kept = tempfile.TemporaryDirectory()
    folder = Path(kept.name)
    for name in PARTS_OF_PROJECT:
        source = ROOT / name
        if source.is_dir():
            # With what is compiled, which is valid where the sources are the same; not with what is just being written.
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("*.pyc.*", "*.[0-9]*", "site.yaml"))
        else:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, folder / name)
    write_species(folder)
    port = f"port: {os.environ.get('MICRO_PORT', '18931')}"
    Project(folder).edit("tests/workflow/micro.yaml", "port: 18931", port)
    return kept


def write_species(folder: Path) -> None:
    """The shipped species of eight families, as the micro world's own table."""
    with (ROOT / "workflow_scripts/world/species.csv").open(newline="") as source:
        species = [row for row in csv.DictReader(source) if row["family"] in FAMILIES]
    with (folder / "species.csv").open("w", newline="") as target:
        table = csv.DictWriter(target, species[0])
        table.writeheader()
        table.writerows(species)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The micro world, run to its report, for all tests that only look, or that put back what they change.

    It is run once for all workers of a session; each has a copy of its own.
    """
    mine = tmp_path_factory.getbasetemp()
    shared = (mine.parent if "PYTEST_XDIST_WORKER" in os.environ else mine) / "micro"
    done = shared.with_name("micro.done")
    with shared.with_name("micro.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(shared, ignore_errors=True)
            copy_project(shared).run("all")
            # Most of the disk space that it takes; no test reads them.
            for checkpoints in list(shared.rglob("checkpoints")):
                shutil.rmtree(checkpoints)
            done.touch()
    return Project(shared).copied(mine / "finished")


@pytest.fixture
def copy(finished: Project, tmp_path: Path) -> Iterator[Project]:
    """The finished project again, to be changed for good."""
    made = finished.copied(tmp_path / "copy")
    yield made
    shutil.rmtree(made.folder)


@pytest.fixture(scope="session")
def plan_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """What a dry run with the commands prints, in a copy in which nothing was run; the same one is planned once."""
    project = copy_project(tmp_path_factory.mktemp("planned"))
    return cache(lambda *words: project.run("-np", *words))


@pytest.fixture
def fresh(tmp_path: Path) -> Project:
    """A copy in which nothing was run."""
    return copy_project(tmp_path)
