"""A corpus made elsewhere is only read: no rule builds any part of it, and nothing is written to it."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.messages import says
from tests.workflow.commands import snakemake

ELSEWHERE = "elsewhere/tol"
CONFIG = f"""
run: theirs
corpus: {ELSEWHERE}
corpus_digest: abcd
model: {{architecture: ViT-B-32, start: null}}
train: {{epochs: 1, global_batch: 8, replay_batch: 4, allow_cpu: true}}
benchmarks:
  mine: {{layout: csv, labels: mine.csv, images: mine}}
  replay: {{layout: replay}}
baselines: {{start: start}}
"""
FILES = (
    *("catalog/g000/part-0000.parquet", "catalog/g000/account.json", "catalog/g000/sources/gbif.account.json"),
    *("download/g000.parquet", "download/g000.account.json", "download/g000.hosts.parquet"),
    *("taxonomy/labels.parquet", "taxonomy/account.json", "taxonomy/stats.json"),
    *("curate/g000/verdicts.parquet", "curate/g000/account.json", "curate/g000/attribution.parquet"),
    *("curate/g000/leakage.parquet", "curate/g000/leakage.account.json", "shards/g000/account.json"),
    *(f"shards/g000/{split}/{kind}.parquet" for split in ("train", "val") for kind in ("manifest", "index")),
    *(f"replay/{split}/{kind}.parquet" for split in ("train", "val") for kind in ("manifest", "index")),
)


@pytest.fixture
def given(fresh: Any) -> Any:
    """A project, and beside it the files of a corpus that was made elsewhere."""
    for name in FILES:
        path = fresh.path(f"{ELSEWHERE}/{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    fresh.path("mine").mkdir()
    fresh.path("mine.csv").touch()
    fresh.path("theirs.yaml").write_text(CONFIG)
    return fresh


def plan(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return snakemake(folder, *words, "-np", "-c2", "--configfile", "theirs.yaml")


def test_only_what_a_run_makes_is_planned_and_none_of_it_in_the_corpus(given: Any) -> None:
    done = plan(given.folder, "all")
    assert done.returncode == 0, done.stderr
    planned = {line.split()[0] for line in done.stdout.split("Job stats:")[1].splitlines() if line.split()[1:2]}
    assert {"train_run", "eval_mine", "eval_replay", "report_build", "report_corpus", "seen_species"} <= planned
    makers = ("catalog", "download", "taxonomy", "curate", "shards", "replay_")
    assert not [name for name in planned if name.startswith(makers)]
    outputs = [line for line in done.stdout.splitlines() if line.strip().startswith("output:")]
    assert outputs
    assert not [line for line in outputs if ELSEWHERE in line]


def test_its_shards_are_trained_on_and_its_digest_is_checked(given: Any) -> None:
    (command,) = [line for line in plan(given.folder, "train").stdout.splitlines() if "train.run " in line]
    assert f'{{"shards":["{ELSEWHERE}/shards/g000"],"labels":"{ELSEWHERE}/taxonomy/labels.parquet"' in command
    assert f'"replay":"{ELSEWHERE}/replay"' in command
    assert '"digest":"abcd"' in command
    assert f"--replay {ELSEWHERE}/replay" in command


def test_a_folder_without_a_corpus_and_settings_that_would_make_one_are_refused(given: Any) -> None:
    given.path("theirs.yaml").write_text(CONFIG.replace(ELSEWHERE, "elsewhere/else"))
    assert "corpus: elsewhere/else: " in plan(given.folder, "train").stderr
    given.path("theirs.yaml").write_text(CONFIG + "taxonomy: {backbones: [{name: a, reader: dwca, path: mine.csv}]}\n")
    assert says(plan(given.folder, "train").stderr, "taxonomy:", f"corpus: {ELSEWHERE} ")
    given.path("theirs.yaml").write_text(CONFIG.replace(ELSEWHERE, "mine"))
    assert "generations: " in plan(given.folder, "train").stderr
