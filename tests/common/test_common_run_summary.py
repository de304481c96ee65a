"""The last lines of a run: consistent sums for every target, and the errors of failed jobs."""

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.messages import says
from workflow_scripts.common.accounts import LOST_CLASSES, Account, SourceRows, write_account
from workflow_scripts.common.generations import Generations
from workflow_scripts.common.layout import Layout
from workflow_scripts.common.run_summary import Places, after_failure, after_stop, after_success


def account(path: str, stage: str, rows: Mapping[str, Mapping[str, int]], by_source: bool = True, **more: Any) -> None:
    """Write the account of a step: rows by source and reason, `kept` among the reasons."""
    sources = [
        SourceRows(
            name, False, sum(reasons.values()), reasons["kept"], {r: n for r, n in reasons.items() if r != "kept"}
        )
        for name, reasons in rows.items()
    ]
    dropped: dict[str, int] = {}
    for source in sources:
        for reason, count in source.dropped.items():
            dropped[reason] = dropped.get(reason, 0) + count
    counted = Account(
        stage,
        part="p",
        unit="images",
        rows_in=sum(source.rows_in for source in sources),
        kept=sum(source.kept for source in sources),
        dropped=dropped,
        sources=sources if by_source else (),
        **more,
    )
    write_account(Path(path), counted)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """A corpus of two sources and the scores of a run, in a folder given by its absolute path."""
    layout = Layout(str(tmp_path / "results"))
    corpus, run = layout.corpus("lab"), layout.run("first")
    names: Any = {"g000": {"tol": None, "mine": None}}
    scoring: Any = SimpleNamespace(models={"birds": ["start", "first"], "pairs": ["first"]})
    write_corpus(layout, by_source=True)
    for model, top1 in (("start", 0.031), ("first", 0.425)):
        write_json(run.scores(model=model, benchmark="birds"), {"metrics": {"zero_shot/top1": top1, "chance": 0.02}})
    write_json(
        run.scores(model="first", benchmark="pairs"),
        {"metrics": {"v1.0.1/few_shot/1": 0.9, "few_shot/1": 0.5, "few_shot/1_std": 0.1}},
    )
    folders = {name: f"{tmp_path}/benchmarks/{name}" for name in ("birds", "pairs")}
    lost = {"": {"kept": 60, "missing": 40}}
    account(f"{folders['birds']}/account.json", "benchmarks", lost, by_source=False, notes={LOST_CLASSES: 2})
    return Places(corpus, run, Generations({"g000": ["0000"]}, names), scoring, folders)


def write_json(path: str, value: Any) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(json.dumps(value))


def write_corpus(layout: Layout, *, by_source: bool) -> None:
    corpus = layout.corpus("lab")
    account(corpus.source_account(generation="g000", source="tol"), "catalog", {"tol": {"kept": 9, "no_url": 1}})
    account(corpus.source_account(generation="g000", source="mine"), "catalog", {"mine": {"kept": 5}})
    notes = {"kept of tol": 8, "kept of mine": 5}
    account(corpus.catalog_account(generation="g000"), "catalog", {"": {"kept": 13, "repeated": 1}}, False, notes=notes)
    came = {"tol": {"kept": 5, "timeout": 2, "too_small": 1}, "mine": {"kept": 5}}
    account(corpus.gathered_account(generation="g000"), "download", came, by_source)
    judged = {
        "tol": {"kept": 2, "download_failed": 2, "too_small": 2, "unresolved": 1, "duplicate": 1},
        "mine": {"kept": 5},
    }
    account(corpus.verdicts_account(generation="g000"), "curate", judged, by_source)
    labels = {"": {"kept": 3, "not_found": 1}}
    notes = {"labels by higher_rank": 2, "images by higher_rank": 4, "images by unresolved": 1}
    account(corpus.labels_account(), "taxonomy", labels, False, notes=notes)


def test_each_row_is_kept_lost_or_left_out(places: Places) -> None:
    lines = "\n".join(after_success(["data"], places))
    assert says(lines, "corpus lab", "tol: 10 rows in, 2 kept", "5 lost", "timeout 2", "3 left out", "duplicate 1")
    assert "mine: 5 rows in, 5 kept\n" in lines
    assert says(lines, "labels: 4", "1 unresolved (1 images)", "2 resolved to a higher rank (4 images)")
    assert lines.endswith(f"result: {places.corpus}")


def test_a_corpus_that_does_not_count_by_source_is_summed_as_a_whole(places: Places) -> None:
    write_corpus(Layout(str(Path(places.corpus.folder).parents[1])), by_source=False)
    assert says("\n".join(after_success(["data"], places)), "tol, mine: 15 rows in, 7 kept, 5 lost", "3 left out")


@pytest.mark.parametrize(
    ("target", "parts"),
    [
        ("all", ("corpus lab", "scores of first", "report/index.html")),
        (
            "evaluate",
            (
                "scores of first",
                "birds 42.5 (start 3.1, chance 2.0)",
                "40 of 100 images (missing 40)",
                f"2 {LOST_CLASSES}",
                "pairs few_shot/1 50.0",
                "scores",
            ),
        ),
        ("eval_birds", ("birds 42.5", "results/runs/first/scores")),
        ("publish", ("corpus lab", "result: ", "publish")),
        ("crate", ("corpus lab", "ro-crate-metadata.json")),
    ],
)
def test_every_target_ends_with_its_result(places: Places, target: str, parts: tuple[str, ...]) -> None:
    lines = "\n".join(after_success([target], places))
    assert says(lines, *parts)
    assert ("corpus lab" in lines) == ("corpus lab" in parts)
    assert ("pairs" in lines) == (target != "eval_birds")


def test_a_retry_reports_new_images_and_the_next_command(places: Places) -> None:
    tried = Account("download", "corpus", "images", 5, 3, {"timeout": 2})
    write_account(Path(places.corpus.retried(kind="corpus")), tried)
    lines = "\n".join(after_success(["retry_failed"], places))
    assert says(lines, "5 images in, 3 kept, 2 lost (timeout 2)", "snakemake data", "result: ", "download")
    assert "redo=" not in lines
    write_account(Path(places.corpus.shards_account(generation="g000")), tried)
    assert "--config redo=shards`" in "\n".join(after_success(["retry_failed"], places))


def test_a_file_as_a_target_has_no_last_lines(places: Places) -> None:
    assert list(after_success(["results/a.parquet"], places)) == []


def job(rule: str, log: Path) -> Any:
    return SimpleNamespace(rule=SimpleNamespace(name=rule), log=[str(log)], __str__=lambda self: rule)


def test_a_failure_repeats_its_error_with_the_log(tmp_path: Path) -> None:
    stamp = "2026-11-30 06:00:00,123"
    known, killed = tmp_path / "known.log", tmp_path / "killed.log"
    lines = [
        f"{stamp} INFO a.b: began",
        f"{stamp} ERROR a.b: early",
        f"{stamp} ERROR a.b: x.csv: row 7 is bad",
        "Traceback",
    ]
    known.write_text("\n".join(lines))
    killed.write_text(f"{stamp} INFO a.b: 7 of 9 parts\n")
    assert list(after_failure([job("curate", known)])) == [f"error: x.csv: row 7 is bad (log: {known})"]
    # A killed job has no error of its own.
    (line,) = after_failure([job("download", killed)])
    assert says(line, "error: ", "no error", "7 of 9 parts", str(killed)) and "INFO" not in line
    (line,) = after_failure([job("download", tmp_path / "none.log")])
    assert says(line, "error: rule download", "none.log")
    # A stopped run repeats only the errors of jobs that failed by themselves.
    group = SimpleNamespace(jobs=[job("curate", known), job("download", killed)])
    error, stopped = after_stop([group], "SIGTERM")
    assert says(error, "error: ", "row 7 is bad") and says(stopped, "SIGTERM", "same command")


@pytest.mark.parametrize(("number", "name"), [("INT", "Ctrl-C"), ("TERM", "SIGTERM")])
def test_a_stopped_run_ends_with_what_stopped_it_and_shows_no_errors(tmp_path: Path, number: str, name: str) -> None:
    # The job's signal goes to its process group, as that of a terminal.
    (tmp_path / "Snakefile").write_text(
        f"""
import sys
sys.path.insert(0, {str(Path(__file__).resolve().parents[2])!r})
from workflow_scripts.common.interruptions import note_stop_signals
from workflow_scripts.common.run_summary import print_summary
from workflow_scripts.common.terminal import shorten_output
shorten_output(workflow)
onstart:
    note_stop_signals()
onerror:
    print_summary(workflow, None, failed=True)
rule one:
    output: "made"
    log: "one.log"
    message: "one"
    shell: "kill -{number} 0; sleep 600 2> {{log}}"
"""
    )
    snakemake = [str(Path(sys.executable).parent / "snakemake"), "-c1"]
    done = subprocess.run(
        snakemake,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,
        # A shell starts what runs in the background with Ctrl-C ignored; the tests may run so.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert done.returncode != 0
    assert says(done.stderr.splitlines()[-1], "stopped", name, "same command")
    assert not any(words in done.stderr for words in ("error:", "Error", "At least one job"))
