"""After each kind of change to a finished project, `snakemake -n` names exactly the steps that run again.

The jobs of a row are exactly those planned: nothing that the change can reach is missing, nothing else stands there.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.messages import says

pytestmark = pytest.mark.slow

CORPUS = "results/corpora/micro"
SCORING = {"eval_rare_species", "eval_seen_species", "eval_insects", "eval_replay"}
INTRINSIC = {"tsne", "intrinsic_rare_species", "intrinsic_seen_species"}
AFTER_MODEL = {"embed", "species_texts", "model_card", "report_build"} | SCORING | INTRINSIC
AFTER_RECIPE = {"train_run", "model_export"} | AFTER_MODEL
# A finished training keeps the data that it had.
AFTER_VERDICTS = {
    "curate_attribution",
    "shards_plan",
    "shards_write",
    "shards_gather",
    "report_corpus",
    "seen_species",
    "model_card",
    "report_build",
} | SCORING
AFTER_NAMES = {"taxonomy_stats", "curate", "curate_loss", "species_texts"} | AFTER_VERDICTS
# Of these rules more than one job is planned; the run's model, and not its starting point, is embedded anew.
SEVERAL = {"embed": 4, "tsne": 2, "shards_write": 2}
BOTH_MODELS = {"embed": 8, "tsne": 4}


@dataclass(frozen=True)
class Change:
    """One change, and the jobs that it plans.

    Attributes:
        name: what is changed.
        planned: rules of the planned jobs.
        several: how many jobs of a rule, where it is neither one nor what `SEVERAL` says.
        file, old, new: a file of the project and the text to change in it; no `old`: `new` is appended.
        words: further words of the command line.
        target: what is asked for.
    """

    name: str
    planned: set[str]
    several: Mapping[str, int] = field(default_factory=dict)
    file: str = ""
    old: str = ""
    new: str = ""
    words: Sequence[str] = field(default=())
    target: str = "all"

    @property
    def jobs(self) -> dict[str, int]:
        """The planned jobs: rule to count."""
        return {rule: ({rule: 1} | SEVERAL | dict(self.several))[rule] for rule in self.planned}


CHANGES = [
    Change("a config value", AFTER_RECIPE, words=["--config", "train={lr: 2.0e-3}"]),
    Change(
        "a code line in a step",
        {"curate_attribution", "model_card"},
        file="workflow_scripts/curate/attribute.py",
        old='\nif __name__ == "__main__"',
        new='\nCHANGED = True\n\nif __name__ == "__main__"',
    ),
    Change(
        "a code line in a helper",
        {"pretrain", "pretrain_export"} | AFTER_RECIPE,
        several=BOTH_MODELS,
        file="workflow_scripts/common/captions.py",
        old='return f"a photo of ',
        new='return f"the photo of ',
    ),
    Change(
        "a code line in a benchmark's protocol",
        {"eval_rare_species", "eval_seen_species", "eval_insects", "model_card", "report_build"},
        file="workflow_scripts/evaluate/csv/score.py",
        old='\nif __name__ == "__main__"',
        new='\nCHANGED = True\n\nif __name__ == "__main__"',
    ),
    Change(
        "a definition in a module of many",
        {"download_gather", "download_loss", "curate_leakage", "curate", "curate_loss"} | AFTER_VERDICTS,
        file="workflow_scripts/contracts.py",
        old="DOWNLOAD_HOSTS = Contract(",
        new="DOWNLOAD_HOSTS = (Contract)(\n    *[],\n",
    ),
    Change(
        "a backbone",
        {"taxonomy_backbone", "taxonomy_resolve"} | AFTER_NAMES,
        file="results/world/micro/backbone/Taxon.tsv",
        new="\n",
    ),
    Change(
        "an override", {"taxonomy_resolve"} | AFTER_NAMES, words=["--config", "taxonomy={overrides: overrides.csv}"]
    ),
    Change(
        "a benchmark",
        {"benchmark_index", "embed", "eval_mine", "tsne", "intrinsic_mine", "model_card", "report_build"},
        several={"embed": 2},
        words=[
            "--config",
            "benchmarks={mine: {layout: csv, labels: results/world/micro/benchmarks/insects/labels.csv, "
            "images: results/world/micro/benchmarks/insects/images, text_type: sci}}",
        ],
    ),
    # Its features of the starting point lie there already, and are taken over.
    Change("a run name", AFTER_RECIPE, several=BOTH_MODELS, words=["--config", "run=another"]),
    Change(
        "limits",
        set(),
        words=["--config", "limits={download: {threads: 3}, train: {checkpoint_steps: 7}, embed: {batch: 16}}"],
    ),
    Change("how much may be lost", {"report_build"}, words=["--config", "max_loss={network: 0.4, files: 0.2}"]),
    Change("retried downloads", {"retry_failed"}, target="retry_failed"),
]


@pytest.fixture(scope="module")
def project(finished: Any) -> Any:
    """The finished project, with a table of overrides."""
    finished.path("overrides.csv").write_text("scientific_name,taxon_id\n")
    return finished


@contextmanager
def changed(path: Path, content: bytes) -> Iterator[None]:
    """A file with other content; put back as it was, its time too."""
    kept, times = path.read_bytes(), path.stat()
    try:
        path.write_bytes(content)
        yield
    finally:
        path.write_bytes(kept)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.name)
def test_a_change_plans_only_what_depends_on_it(project: Any, change: Change) -> None:
    if not change.file:
        assert project.planned(change.target, *change.words) == change.jobs
        return
    path = project.path(change.file)
    text = path.read_text()
    assert change.old in text
    content = text.replace(change.old, change.new, 1) if change.old else text + change.new
    with changed(path, content.encode()):
        assert project.planned(change.target, *change.words) == change.jobs


def test_less_loss_than_there_was_stops_a_run_and_plans_nothing(project: Any) -> None:
    less = ("--config", "max_loss={files: 0.01}")
    assert project.planned("data", *less) == {}
    last = project.snakemake("report", *less).stderr.splitlines()
    (line,) = [line for line in last if line.startswith("error: ")]
    assert says(line, "museum", "1 of 36", "1 %", "max_loss.sources.museum: 0.03")
    assert project.planned("data") == {}


def test_one_catalogue_part_plans_its_own_download(project: Any) -> None:
    part = project.path(f"{CORPUS}/catalog/g000/part-0001.parquet")
    fewer = part.with_name("fewer.parquet")
    duckdb.sql(f"COPY (FROM '{part}' OFFSET 1) TO '{fewer}' (FORMAT parquet)")
    content = fewer.read_bytes()
    fewer.unlink()
    with changed(part, content):
        planned = project.planned("all")
    before = {
        "download",
        "download_gather",
        "download_loss",
        "curate_leakage",
        "taxonomy_stats",
        "curate",
        "curate_loss",
    }
    change = Change("one part", before | AFTER_VERDICTS)
    assert planned == change.jobs


def test_a_lost_shard_plans_its_own_group(project: Any) -> None:
    shards = project.path(f"{CORPUS}/shards/g000")
    lost = [shards / "groups/group-001.manifest.parquet", shards / "train/manifest.parquet"]
    for manifest in lost:
        manifest.rename(manifest.with_suffix(".away"))
    try:
        planned = project.planned("data")
    finally:
        for manifest in lost:
            manifest.with_suffix(".away").rename(manifest)
    assert planned == {"shards_write": 1, "shards_gather": 1, "data": 1}
