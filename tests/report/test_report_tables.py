"""Scores, sums of accounts, training curves and published scores as tables."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_scripts.common.accounts import Account, read_account
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.resampling import Difference
from workflow_scripts.report.costs import step_of
from workflow_scripts.report.curves import POINTS, read_curves
from workflow_scripts.report.flow import CORPUS, corpus_flow, gaps, steps_of
from workflow_scripts.report.published import compare
from workflow_scripts.report.scores import read_scores
from workflow_scripts.report.table import table


def test_the_table_is_aligned_and_ends_with_the_report(score_files: list[Path]) -> None:
    command = [sys.executable, "-m", "workflow_scripts.report.table", "--scores", *map(str, score_files)]
    done = subprocess.run([*command, "--report", "report/index.html"], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["benchmark", "percent", "start", "demo", "chance"]
    assert lines[1].split() == ["tiny", "zero_shot/top1", "50.0", "75.0", "50.0"]
    assert lines[4].split() == ["tiny", "few_shot/1", "50.0", "±", "1.2", "75.0", "±", "1.2", "50.0"]
    assert len({len(line) for line in lines[:11]}) == 1
    assert lines[-1] == "report: report/index.html"


def test_a_model_without_a_score_leaves_a_dash(score_files: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    table(scores=tuple(score_files[:3]), report=Path("index.html"))
    other = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("other"))
    assert other.split() == ["other", "zero_shot/top1", "37.5", "-", "50.0"]
    table(scores=tuple(score_files[:3]), report=Path("index.html"), json_lines=True)
    printed = json.loads(capsys.readouterr().out)
    values = [
        row["value"] for row in printed["scores"] if (row["benchmark"], row["metric"]) == ("other", "zero_shot/top1")
    ]
    assert (printed["report"], values) == ("index.html", [0.375, None])


def test_chance_of_the_first_k_is_k_times_chance_and_at_most_one(score_files: list[Path]) -> None:
    scores = read_scores(score_files)
    assert scores.chance("tiny", "zero_shot/top1") == 0.5
    assert scores.chance("tiny", "zero_shot/top5") == 1
    assert scores.chance("tiny", "few_shot/1") == 0.5


def test_duplicate_score_files_and_no_files_are_errors(score_files: list[Path]) -> None:
    with pytest.raises(InputError, match=r"\bstart\b.*\btiny\b"):
        read_scores([score_files[0], score_files[0]])
    with pytest.raises(InputError, match="no scores"):
        read_scores([])


def test_row_counts_that_disagree_are_named(accounts: list[Path]) -> None:
    made = [read_account(path) for path in accounts]
    assert gaps(steps_of(made)) == []
    made[6] = Account("shards", "g000", "samples", 79, 79, {})
    assert gaps(steps_of(made)) == ["curate kept 80 of 100 images, but 79 entered shards"]


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=5, max_size=5), st.integers(0, 1000))
def test_what_flows_in_flows_out(drops: list[tuple[int, int]], shards: int) -> None:
    """If each step receives what the previous one kept, the links into a step equal those out of it."""
    accounts, rows = [], shards + sum(map(sum, drops))
    for name, (one, other) in zip(CORPUS, drops, strict=True):
        stage, part = ("catalog", "a source") if name == "sources" else (name, "generation 0")
        kept = rows - one - other
        accounts.append(Account(stage, part, "images", rows, kept, {"one": one, "other": other}))
        rows = kept
    links = corpus_flow(steps_of(accounts))
    for name in CORPUS[1:]:
        into = sum(link.rows for link in links if link.target == name)
        assert into == sum(link.rows for link in links if link.source == name)
    assert sum(link.rows for link in links if link.target == "training") == shards


def test_parts_of_a_step_are_summed_by_reason() -> None:
    parts = [
        Account("download", "g000", "images", 10, 7, {"timeout": 1, "http_error": 2}),
        Account("download", "g001", "images", 5, 1, {"timeout": 4}),
    ]
    (step,) = steps_of(parts)
    assert (step.rows_in, step.kept) == (15, 8)
    assert list(step.dropped.items()) == [("timeout", 5), ("http_error", 2)]


def test_a_long_run_is_thinned_to_means(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    lines = 5 * POINTS
    path.write_text("".join(json.dumps({"step": step, "loss": step % 5}) + "\n" for step in range(lines)))
    curves = read_curves(path)
    assert len(curves["step"]) == POINTS
    assert curves["step"] == [5 * point + 2 for point in range(POINTS)]
    assert curves["loss"] == [2] * POINTS


def test_metrics_that_are_not_of_a_training_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"loss": 1.0}\n')
    with pytest.raises(InputError, match="no column step"):
        read_curves(path)
    with pytest.raises(InputError, match=r"missing\.jsonl"):
        read_curves(tmp_path / "missing.jsonl")


def with_intervals(files: list[Path]) -> list[Path]:
    """Add intervals, differences and error heights to the score files."""
    for path in files:
        described = json.loads(path.read_text())
        value = described["metrics"]["zero_shot/top1"]
        other = "start" if described["model"] == "demo" else "demo"
        described["intervals"] = {"zero_shot/top1": [value - 0.125, value + 0.125]}
        described["against"] = {other: {"zero_shot/top1": {"difference": 0.25, "low": 0.1, "high": 0.4, "p": 0.03}}}
        described["lca_height"] = {"mean": 2.5, "interval": [2.0, 3.0]}
        path.write_text(json.dumps(described))
    return files


def test_intervals_and_differences_are_read_and_missing_ones_are_none(score_files: list[Path]) -> None:
    bare = read_scores(score_files, own="demo")
    assert bare.interval("tiny", "zero_shot/top1", "demo") is None
    assert bare.with_heights() == []
    scores = read_scores(with_intervals(score_files), own="demo")
    assert scores.interval("tiny", "zero_shot/top1", "demo") == (0.625, 0.875)
    assert scores.against("tiny", "zero_shot/top1", "demo") == Difference(0.25, 0.1, 0.4, 0.03)
    assert scores.against("tiny", "few_shot/1", "demo") is None
    assert scores.height("tiny", "demo") == (2.5, (2.0, 3.0))
    row = next(
        row
        for row in scores.frame().iter_rows(named=True)
        if row["model"] == "demo" and row["metric"] == "zero_shot/top1"
    )
    assert (row["low"], row["high"], row["difference"], row["p"]) == (0.625, 0.875, 0.25, 0.03)


def renamed(files: list[Path], **names: tuple[str, int, int]) -> Iterator[dict[str, Any]]:
    """Yield score files with some benchmarks renamed and resized; write each after the caller changed it."""
    for path in files:
        described = json.loads(path.read_text())
        if described["benchmark"] in names:
            name, images, classes = names[described["benchmark"]]
            described |= {"benchmark": name, "n_images": images, "n_classes": classes}
        yield described
        path.write_text(json.dumps(described))


PLANTDOC = ("plantdoc", 236, 28)


def test_published_scores_are_matched_by_benchmark(score_files: list[Path]) -> None:
    """Herbarium19 has another metric, tiny is in no paper; insects is in both."""
    assert compare(read_scores(score_files)) == []
    list(renamed(score_files, tiny=("insects", 4160, 104), other=("herbarium19", 8, 683)))
    [found] = compare(read_scores(score_files))
    assert (found.benchmark, found.metric) == ("insects", "zero_shot/top1")
    assert found.ours == {"start": 0.5, "demo": 0.75}
    assert found.theirs["BioCLIP 2"] == pytest.approx(0.553)
    assert found.theirs["BioCLIP (first paper)"] == pytest.approx(0.327)


@pytest.mark.parametrize("size", [(8, 104), (4160, 28), (3000, 104), (4161, 104)])
def test_a_benchmark_of_another_size_is_not_matched(score_files: list[Path], size: tuple[int, int]) -> None:
    list(renamed(score_files, tiny=("insects", *size)))
    assert compare(read_scores(score_files)) == []


@pytest.mark.parametrize(
    ("benchmark", "metric", "classes", "sizes"),
    [
        ("fishnet", "traits/all_right", 9, (18_000, 120)),
        ("awa2", "attributes/macro_f1", 85, (7_000, 120)),
        ("birds525", "zero_shot/top1", 525, (2_625, 525)),
    ],
)
def test_a_toy_version_of_a_published_benchmark_gets_no_published_score(
    score_files: list[Path], benchmark: str, metric: str, classes: int, sizes: tuple[int, int]
) -> None:
    """FishNet has nine traits and AwA2 85 attributes in any world: only the number of images tells them apart."""
    images, toy = sizes
    for described in renamed(score_files, tiny=(benchmark, images, classes)):
        described["metrics"][metric] = 0.5
        described["protocols"][metric] = ["v1.0.1", "v2.0.0", "main-49e1cf5", "corrected"]
    assert [one.benchmark for one in compare(read_scores(score_files))] == [benchmark]
    list(renamed(score_files, **{benchmark: (benchmark, toy, classes)}))
    assert compare(read_scores(score_files)) == []


def test_scores_of_published_versions_are_compared_with_published_scores(score_files: list[Path]) -> None:
    list(renamed(score_files, tiny=PLANTDOC))
    of_two, of_main = sorted(compare(read_scores(score_files)), key=lambda one: one.metric, reverse=True)
    assert (of_two.metric, of_two.protocols) == ("v1.0.1/few_shot/1", ("v1.0.1", "v2.0.0"))
    assert (of_main.metric, of_main.protocols) == ("few_shot/1", ("main-49e1cf5",))
    assert of_two.theirs == of_main.theirs
    assert of_two.ours["demo"] == pytest.approx(0.751)


def test_scores_of_the_corrected_protocol_are_not_compared_with_published_scores(score_files: list[Path]) -> None:
    for described in renamed(score_files, tiny=PLANTDOC):
        described["protocols"]["few_shot/1"] = ["corrected"]
    assert [one.metric for one in compare(read_scores(score_files))] == ["v1.0.1/few_shot/1"]


def test_the_first_papers_scores_are_compared_with_v2_0_0_only(score_files: list[Path]) -> None:
    """Its code used taxonomic and common names for Rare Species (eval_zero_shot.sh), as the corrected protocol does."""
    for described in renamed(score_files, tiny=("rare_species", 11983, 400)):
        described["metrics"]["v1.0.1/zero_shot/top1"] = 0.125
        described["protocols"]["v1.0.1/zero_shot/top1"] = ["v1.0.1"]
        described["protocols"]["zero_shot/top1"] = ["v2.0.0", "main-49e1cf5", "corrected"]
    found = {one.metric: one for one in compare(read_scores(score_files))}
    assert "BioCLIP (first paper)" in found["zero_shot/top1"].theirs
    assert found["zero_shot/top1"].protocols == ("v2.0.0", "main-49e1cf5")
    assert found["zero_shot/top1"].ours["demo"] == 0.75
    assert "BioCLIP (first paper)" not in found["v1.0.1/zero_shot/top1"].theirs
    assert found["v1.0.1/zero_shot/top1"].theirs["BioCLIP 2"] == pytest.approx(0.768)
    assert found["v1.0.1/zero_shot/top1"].ours["demo"] == 0.125


def test_all_jobs_of_a_step_are_one_row_of_the_costs() -> None:
    searches = [f"evaluate/searches/{model}/newt-{part:04d}-of-16" for model in ("demo", "start") for part in range(16)]
    assert {step_of(Path(name)) for name in searches} == {"evaluate/searches"}
    ablations = ["ablations/sci.1/train", "ablations/no_replay.2/embed.insects", "ablations/insects-sci"]
    assert {step_of(Path(name)) for name in ablations} == {"ablations"}


def test_hierarchy_is_ordered_from_kingdom_to_species_and_has_no_chance(score_files: list[Path]) -> None:
    described = json.loads(score_files[0].read_text())
    described["metrics"] |= {f"hierarchy/{rank}": 0.5 for rank in ("species", "genus", "kingdom")}
    score_files[0].write_text(json.dumps(described))
    scores = read_scores(score_files)
    found = [metric for metric in scores.metrics("tiny") if metric.startswith("hierarchy")]
    assert found == ["hierarchy/kingdom", "hierarchy/genus", "hierarchy/species"]
    assert scores.chance("tiny", "hierarchy/genus") is None


def test_the_lowest_error_is_the_best_and_has_no_chance(score_files: list[Path]) -> None:
    for path in score_files:
        described = json.loads(path.read_text())
        described["metrics"]["zero_shot/ece"] = described["metrics"]["zero_shot/top1"] / 10
        path.write_text(json.dumps(described))
    scores = read_scores(score_files)
    assert scores.best("tiny", "zero_shot/ece") == 0.05
    assert scores.best("tiny", "zero_shot/top1") == 0.75
    assert scores.chance("tiny", "zero_shot/ece") is None
    assert scores.metrics("tiny")[2:4] == ["zero_shot/top5", "zero_shot/ece"]
