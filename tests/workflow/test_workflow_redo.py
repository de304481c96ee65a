"""A run that would redo finished costly work stops before its first job unless the command line allows it."""

import json
import os
import pty
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from workflow_scripts.common.code_digest import code_digest

pytestmark = pytest.mark.slow

CORPUS = "results/corpora/micro"
REDONE = "this plan redoes finished work"
MISTYPED = "download={jpeg_quality: 59}"
COSTLY = {"download", "replay_download", "replay_write", "shards_write", "pretrain", "train_run"}


def state(project: Any) -> dict[Path, int]:
    """Every file of the results, and when it was written."""
    files = [path for path in sorted(project.path("results").rglob("*")) if path.is_file()]
    return {path: path.stat().st_mtime_ns for path in files if path.suffix != ".lock"}


def refused(project: Any, *words: str) -> str:
    """The line with which Snakemake stops."""
    before = state(project)
    done = project.snakemake(*words)
    assert done.returncode != 0
    assert state(project) == before, "nothing was touched"
    (line,) = [line for line in (done.stdout + done.stderr).splitlines() if REDONE in line]
    assert line.startswith("error: ")
    return line


@contextmanager
def changed(project: Any, name: str, pattern: str, text: str) -> Iterator[None]:
    """A file of the project with a change; put back as it was, its time too."""
    path = project.path(name)
    kept, times = path.read_text(), path.stat()
    content, count = re.subn(pattern, text, kept, count=1, flags=re.MULTILINE)
    assert count, f"{name} has no {pattern!r}"
    try:
        path.write_text(content)
        yield
    finally:
        path.write_text(kept)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_a_mistyped_value_stops_with_what_it_would_cost_and_leaves_no_flag(finished: Any) -> None:
    line = refused(finished, "all", "--config", MISTYPED)
    assert "download" in line
    assert "jpeg_quality default -> 59" in line
    assert re.search(r"\d images", line)
    for word in ("redo=", "keep="):
        assert word in line
    assert finished.planned("all") == {}


def test_a_terminal_gets_the_same_line(finished: Any) -> None:
    before = state(finished)
    ours, theirs = pty.openpty()
    started = subprocess.Popen(
        finished.command("all", "--config", MISTYPED),
        cwd=finished.folder,
        env=finished.environment() | {"TERM": "xterm", "COLUMNS": "200"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    said = b""
    while True:
        try:
            piece = os.read(ours, 65_536)
        except OSError:
            break
        if not piece:
            break
        said += piece
    os.close(ours)
    assert started.wait() != 0
    text = said.decode()
    assert f"error: {REDONE}" in text
    assert "jpeg_quality default -> 59" in text
    assert state(finished) == before


def test_a_dry_run_says_it_too_and_plans(finished: Any) -> None:
    text = finished.run("-n", "all", "--config", MISTYPED)
    assert REDONE in text.splitlines()[-1]
    assert {"download", "shards_write"} <= set(finished.planned("all", "--config", MISTYPED))


def test_redo_allows_only_its_own_steps(finished: Any) -> None:
    text = finished.run("-n", "all", "--config", MISTYPED, "redo=download")
    (line,) = [line for line in text.splitlines() if REDONE in line]
    assert "download (" not in line
    assert "shards (" in line
    assert REDONE not in finished.run("-n", "all", "--config", MISTYPED, "redo=[download,shards]")


def test_keep_continues_with_existing_files(finished: Any) -> None:
    # The report and the dataset's card show the config.
    assert finished.planned("all", "--config", MISTYPED, "keep=download") == {"report_build": 1}
    both = ("--config", "shards={samples_per_shard: 90}", "keep=shards")
    assert finished.planned("all", *both) == {"report_build": 1}
    assert REDONE not in finished.run("-n", "all", *both)
    trained = ("--config", "train={lr: 2.0e-3}", "keep=train")
    assert finished.planned("train", *trained) == {}


@pytest.mark.parametrize("word", ["redo=dwnload", "keep=[shards,tain]"])
def test_an_unknown_step_is_named_with_those_there_are(finished: Any, word: str) -> None:
    done = finished.snakemake("all", "--config", word)
    assert done.returncode != 0
    assert re.search(
        r"error: .*(dwnload|tain).*download, screen, replay, shards, pretrain, train", done.stderr + done.stdout
    )


def test_a_new_version_stops_and_a_version_recorded_again_plans_nothing(finished: Any) -> None:
    lock = "workflow_scripts/versions.lock"
    with changed(finished, lock, r"^shards\.write (\d+)", "shards.write 77"):
        line = refused(finished, "data")
        assert "shards" in line
        assert re.search(r"code version \S+ -> 77", line)
    main = '\nif __name__ == "__main__"'
    step = "workflow_scripts/shards/write.py"
    with changed(finished, step, re.escape(main), f"\nCHANGED = True\n{main}"):
        assert "code version" in refused(finished, "data")
        code = code_digest("workflow_scripts.shards.write", finished.folder)
        with changed(finished, lock, r"^(shards\.write \d+) \w+", rf"\1 {code}"):
            assert finished.planned("data") == {}


def test_a_changed_input_stops_with_the_rule_that_it_reaches(finished: Any) -> None:
    taxa = f"{finished.path('results/world/micro/backbone/Taxon.tsv').relative_to(finished.folder)}"
    path = finished.path(taxa)
    with changed(finished, taxa, r"\Z", "\n"):
        line = refused(finished, "all")
    assert "taxonomy_backbone" in line
    assert str(path.relative_to(finished.folder)) in line
    assert "train (" not in line, "a finished training keeps its data"


def test_a_new_judge_says_what_its_thresholds_would_redo(finished: Any) -> None:
    judge = {"judge": "animals", "of": "true", "weights": "detector.onnx", "size": 64, "refuse": {"empty": 0.5}}
    finished.path("judge.yaml").write_text(json.dumps({"screen": {"traps": judge}, "screen_jobs": 1}))
    # Newer than the corpus, as what a person adds always is.
    finished.path("detector.onnx").touch()
    words = ["data", "--configfile", "config/config.yaml", "tests/workflow/micro.yaml", "judge.yaml"]
    line = refused(finished, *words)
    assert f"{REDONE}: shards (" in line
    assert "curate runs: changed settings" in line
    assert finished.run("-n", *words).splitlines()[-1] == line.removeprefix("error: ")


def test_growth_plans_only_new_work_and_no_training(finished: Any) -> None:
    grown = """
generations:
  - parts: 2
    sources:
      - name: treeoflife
        reader: treeoflife200m
        catalog: "{world}/catalog.parquet"
        provenance: "{world}/provenance.parquet"
      - name: museum
        reader: table
        table: "{world}/table.csv"
        images: "{world}/table_images"
  - parts: 1
    sources:
      - name: more
        reader: table
        table: later.csv
        images: "{world}/table_images"
"""
    finished.path("grown.yaml").write_text(grown)
    # Newer than all that was made, as what is added always is.
    shutil.copyfile(finished.path("results/world/micro/table.csv"), finished.path("later.csv"))
    words = ["all", "--configfile", "config/config.yaml", "tests/workflow/micro.yaml", "grown.yaml"]
    text = finished.run("-n", *words)
    planned = finished.planned(*words)
    assert REDONE not in text
    assert planned["download"] == 1
    assert not {"train_run", "model_export", "embed"} & set(planned)
    (listed,) = [line for line in finished.run("-np", *words).splitlines() if "seen_species --labels" in line]
    assert f"{CORPUS}/curate/g000/verdicts.parquet" in listed
    assert "g001" not in listed, "the training has seen no species of the new generation"
    assert f"{CORPUS}/shards/g001 is new" in text
    assert "redo=train" in text
    assert finished.planned(*words, "--config", "redo=train")["train_run"] == 1


def test_shards_are_redone_once_with_redo(copy: Any) -> None:
    other = ("--config", "shards={samples_per_shard: 90}")
    refused(copy, "data", *other)
    text = copy.run("data", *other, "redo=shards")
    assert REDONE not in text
    assert copy.planned("data", *other) == {}
    assert "shards" in refused(copy, "data"), "the earlier settings are another change"
    assert f"{CORPUS}/shards/g000/train changed" in copy.run("-n", "all", *other)
    assert "train_run" not in copy.planned("all", *other)


def test_touching_redoes_nothing_and_is_let_through(copy: Any) -> None:
    before = copy.path(f"{CORPUS}/download/part-0000/images-00000.tar").read_bytes()
    copy.run("--touch", "data", "--config", MISTYPED)
    assert copy.path(f"{CORPUS}/download/part-0000/images-00000.tar").read_bytes() == before
    assert copy.planned("data", "--config", MISTYPED) == {}
