"""The workflow in a separate working folder: config and site are read there, and nothing is written elsewhere."""

import json
import os
import re
import shlex
import shutil
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake.path_modifier import PathModifier

from tests.messages import says
from tests.workflow.commands import environment
from tests.workflow.commands import snakemake as run_snakemake
from workflow_scripts.common.accounts import Account, write_account
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.layout import Layout
from workflow_scripts.common.used_as_module import check_module

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """\
run: own
corpus: own
generations: [{parts: 1, sources: [{name: own, reader: folders, images: photos}]}]
model: {architecture: ViT-B-32, start: null}
train: {epochs: 1, global_batch: 8, allow_cpu: true}
"""
# As the guide writes it.
MODULE = re.search(r"```python\n(.*?)```", (ROOT / "docs/working-folder.md").read_text(), re.S)
USE = "use rule * from treeoflife\n"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A working folder with a config, a site and a photo."""
    folder = tmp_path / "own {work} 'folder'"
    (folder / "photos/Pica_pica").mkdir(parents=True)
    (folder / "photos/Pica_pica/1.jpg").touch()
    (folder / "config").mkdir()
    (folder / "config/config.yaml").write_text(CONFIG)
    (folder / "config/site.yaml").write_text("results: made\n")
    return folder


def plan(folder: Path, *command: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    words = [*command, "-np", "-c2"]
    return subprocess.run(words, cwd=folder, env=environment(**variables), capture_output=True, text=True, check=False)


def snakemake(folder: Path, *words: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return run_snakemake(folder, *words, "-np", "-c2", **variables)


def commands(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The commands of a plan, each once."""
    assert done.returncode == 0, done.stderr
    found = {line.strip() for line in done.stdout.splitlines() if "python -m workflow_scripts." in line}
    assert any("train.run " in command for command in found)
    return sorted(found)


def write_module(folder: Path, snakefile: str = f'"{ROOT}/Snakefile"', use: str = USE) -> None:
    assert MODULE
    written = MODULE[1].replace('"/path/to/treeoflife/Snakefile"', snakefile)
    assert snakefile in written and USE in written
    (folder / "workflow").mkdir()
    (folder / "workflow/Snakefile").write_text(written.replace(USE, use))


@pytest.mark.slow
def test_a_working_folder_has_the_same_plan_by_run_and_as_a_module(own: Path, tmp_path: Path) -> None:
    by_entry = plan(own, ROOT / "run", "all", "--profile", "profiles/local")
    assert says(
        by_entry.stderr, f"Using profile {ROOT}/profiles/local", "config config/config.yaml, corpus own, run own"
    )
    assert "made/runs/own/" in by_entry.stdout

    repository = tmp_path / "host/lab/treeoflife"
    left = shutil.ignore_patterns(".*", "results", "tests", "__pycache__", "docs")
    shutil.copytree(ROOT, repository, ignore=left)
    who = ("-c", "user.name=a", "-c", "user.email=a@b.example")
    for words in (("init", "-q"), ("add", "-A"), (*who, "commit", "-qm", "all"), ("tag", "v1")):
        subprocess.run(["git", *words], cwd=repository, check=True)
    # Guards of finished work are a main Snakefile's hooks.
    use = USE + "assert workflow._onstart and workflow._onsuccess\n"
    write_module(own, 'github("lab/treeoflife", path="Snakefile", tag="v1")', use)
    as_module = snakemake(
        own,
        XDG_CACHE_HOME=str(tmp_path / "cache"),
        GIT_CONFIG_COUNT="1",
        GIT_CONFIG_KEY_0=f"url.{tmp_path}/host/.insteadOf",
        GIT_CONFIG_VALUE_0="https://github.com/",
    )
    assert commands(by_entry) == commands(as_module)
    assert sorted(path.name for path in own.iterdir() if path.name != ".snakemake") == ["config", "photos", "workflow"]
    # Steps run from a checkout of the commit.
    (code,) = (tmp_path / "cache").rglob("workflow_scripts")
    assert (code.parent / "config/README.md").exists()


@pytest.fixture
def read(own: Path) -> Path:
    """The working folder after its photos were read and downloaded, ten seconds ago."""
    corpus, sources = Layout("made").corpus("own"), {"generation": "g000", "source": "own"}
    parts = {"generation": "g000", "part": "0000"}
    made = [
        *(corpus.source(**sources), corpus.source_account(**sources)),
        *(kind(generation="g000") for kind in (corpus.catalog_labels, corpus.catalog_hosts, corpus.catalog_account)),
        *(corpus.catalog_part(**parts), corpus.catalog_loss(generation="g000")),
        *(corpus.download_part(part="0000"), corpus.download_part_account(part="0000")),
    ]
    now = time.time()
    for path in (own / "photos", *(own / "photos").rglob("*")):
        os.utime(path, (now - 20, now - 20))
    for path in map(own.joinpath, made):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (now - 10, now - 10))
    for account in (corpus.source_account(**sources), corpus.catalog_account(generation="g000"), made[-1]):
        write_account(own / account, Account("catalog", "g000", "images", 1, 1, {}))
        os.utime(own / account, (now - 10, now - 10))
    return own


REDONE = "this plan redoes finished work"
DOWNLOADED = "made/corpora/own/download/part-0000/manifest.parquet"


def notices(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert done.returncode == 0, done.stderr
    return [line for line in done.stderr.splitlines() if line.startswith("source own: ")]


def test_changed_photos_of_a_built_generation_are_reported(read: Path) -> None:
    program = ("-s", ROOT / "Snakefile")
    # The end of a run records what an older release has read.
    assert notices(run_snakemake(read, *program, DOWNLOADED, "-c2")) == []
    (read / "photos/Pica_pica/2.jpg").touch()
    # As renaming a species folder, and back, leaves it.
    os.utime(read / "photos")
    done = run_snakemake(read, *program, DOWNLOADED, "-c2")
    assert "Nothing to be done" in done.stdout + done.stderr
    (line,) = notices(done)
    assert says(line, "photos", "g000", "photos/Pica_pica/2.jpg", "docs/growing.md", "--forcerun", "redo=download")
    # The command reads the folder again, and nothing holds it up.
    (command,) = re.findall("`snakemake (.*)`", line)
    again = snakemake(read, *shlex.split(command))
    assert says(again.stdout, "catalog.folders", "download.fetch")
    assert notices(again) == [] and REDONE not in again.stderr
    records = Layout("made").corpus("own").source(generation="g000", source="own")
    assert notices(run_snakemake(read, *program, records, "--forcerun", records, "-c2")) == []


def test_photos_that_are_gone_stop_only_a_run_that_reads_them(read: Path) -> None:
    table = CONFIG.replace("reader: folders,", "reader: table, table: t.csv,")
    (read / "config/config.yaml").write_text(table)
    (read / "t.csv").write_text("path,species\nPica_pica/1.jpg,Pica pica\n")
    os.utime(read / "t.csv", (0, 0))
    (read / "photos").rename(read / "elsewhere")
    program = ("-s", ROOT / "Snakefile", "-c2")
    done = run_snakemake(read, *program, DOWNLOADED)
    assert done.returncode == 0 and "Nothing to be done" in done.stdout + done.stderr
    planned = snakemake(read, *program[:2], DOWNLOADED)
    assert "missing: " not in planned.stderr
    (read / DOWNLOADED).unlink()
    assert "sources.own.images: photos: " in snakemake(read, *program[:2], DOWNLOADED).stderr
    done = run_snakemake(read, *program, DOWNLOADED)
    assert done.returncode != 0
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert says(line, "generations.0.sources.own.images", "photos")


def test_a_generation_that_reads_its_folder_again_is_a_plan_of_its_own(read: Path) -> None:
    grown = CONFIG.replace("]}]", "]}, {parts: 1, sources: [{name: more, reader: folders, images: photos}]}]")
    (read / "config/config.yaml").write_text(grown)
    done = snakemake(read, "-s", ROOT / "Snakefile", DOWNLOADED, DOWNLOADED.replace("0000", "0001"))
    assert notices(done) == [] and REDONE not in done.stderr
    assert "g001/sources/more.parquet" in done.stdout and "g000/sources/own.account" not in done.stdout


def test_a_finished_training_keeps_the_species_and_sources_of_its_generations(own: Path) -> None:
    """What the model never saw is not offered, though the corpus's labels have grown."""
    layout = Layout("made")
    corpus, run = layout.corpus("own"), layout.run("own")
    grown = CONFIG.replace("]}]", "]}, {parts: 1, sources: [{name: more, reader: folders, images: photos}]}]")
    (own / "config/config.yaml").write_text(grown)
    texts, labels = run.species_texts.each(kind=["npy", "json"]), corpus.catalog_labels
    of_generations = [labels(generation="g000"), labels(generation="g001")]
    now = time.time()
    for time_made, path in enumerate([*of_generations, run.model_config(), *texts, corpus.labels()], int(now) - 100):
        (own / path).parent.mkdir(parents=True, exist_ok=True)
        (own / path).touch()
        os.utime(own / path, (time_made, time_made))
    words = ("-s", ROOT / "Snakefile", texts[0], "--allowed-rules", "species_texts")
    assert "train.species_texts" in snakemake(own, *words).stdout, "without a training, it is of all generations"
    biology = {"train": ["manifest", "index"], "val": [], "labels": None}
    (own / run.summary()).parent.mkdir(parents=True)
    digests = {"data": {"biology": [biology], "replay": None}, "start": []}
    (own / run.summary()).write_text(json.dumps({"digests": digests}))
    done = snakemake(own, *words)
    assert "Nothing to be done" in done.stdout + done.stderr
    (own / texts[0]).unlink()
    (command,) = [line for line in snakemake(own, *words).stdout.splitlines() if "train.species_texts" in line]
    assert f"--trained-on {of_generations[0]} --templates" in command
    # Nor are sources cited that it never saw.
    attributions = corpus.attribution.each(generation=["g000", "g001"])
    for path in (*attributions, corpus.identity()):
        (own / path).parent.mkdir(parents=True, exist_ok=True)
        (own / path).touch()
    done = snakemake(own, "-s", ROOT / "Snakefile", run.model_card(), "--allowed-rules", "model_card")
    (command,) = [line for line in done.stdout.splitlines() if "train.card" in line]
    assert f"--attributions {attributions[0]} --indexes" in command


def test_snakemake_as_a_job_works_in_a_folder_of_ones_own(own: Path, tmp_path: Path) -> None:
    bin_folder, said = tmp_path / "bin", tmp_path / "said"
    bin_folder.mkdir()
    # Slurm runs a copy of the script.
    fakes = {
        "python": f'echo "$PWD $PYTHONPATH $*" >> {said}; echo --partition=cpu\n',
        "sbatch": f'echo "$1" >> {said}; cp "$2" {tmp_path}/slurm_script; shift 2\n'
        f'SLURM_JOB_ID=1 exec bash {tmp_path}/slurm_script "$@"\n',
    }
    for name, script in fakes.items():
        (bin_folder / name).write_text(f"#!/usr/bin/env bash\n{script}")
        (bin_folder / name).chmod(0o755)
    environment = {"PATH": f"{bin_folder}:{os.environ['PATH']}", "BIN": str(bin_folder)}
    controller = ROOT / "profiles/slurm/controller.sbatch"
    subprocess.run([controller, "all", "-k"], cwd=own, env=environment, check=True, capture_output=True)
    entry = f"{own} {ROOT} -m workflow_scripts.common.entry --profile profiles/slurm"
    assert said.read_text().splitlines() == [
        f"{own} {ROOT} -m workflow_scripts.common.controller",
        "--partition=cpu",
        f"{entry} --unlock all -k",
        f"{entry} all -k",
    ]


def test_a_folder_without_a_config_plans_the_embedded_world_only_by_snakemake(own: Path) -> None:
    shutil.rmtree(own / "config")
    refused = plan(own, ROOT / "run", "all")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert says(refused.stderr, "error: ", "config/config.yaml", "workflow_scripts.common.init", "--configfile")
    done = snakemake(own, "-s", ROOT / "Snakefile", "world")
    assert done.returncode == 0
    assert says(done.stderr, f"config {ROOT}/config/config.yaml, corpus world")
    assert "results/world/world" in done.stdout


def test_a_module_whose_rules_would_be_called_otherwise_is_refused(own: Path) -> None:
    write_module(own, use="use rule * from treeoflife as tol_*\n")
    done = snakemake(own)
    assert done.returncode != 0
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert says(line, "module treeoflife", "`use rule * from treeoflife`")


@pytest.mark.parametrize("moved", [("there", None), (None, {"results/": "there/"})])
def test_a_module_whose_files_would_be_moved_is_refused(moved: tuple[str | None, dict[str, str] | None]) -> None:
    prefix, replaced = moved
    modifier = SimpleNamespace(namespace="treeoflife", path_modifier=PathModifier(replaced, prefix, None))
    with pytest.raises(InputError) as error:
        check_module(modifier)
    assert says(str(error.value), "module treeoflife", "prefix", "config/site.yaml")
