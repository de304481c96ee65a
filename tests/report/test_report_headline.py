"""The first screen: means, significance of differences, the reference model, and problems."""

import json
from pathlib import Path
from typing import Any

import pytest

from workflow_scripts.common.accounts import ALIKE_CLASSES, Account, read_account
from workflow_scripts.common.resampling import Difference
from workflow_scripts.report.flow import steps_of
from workflow_scripts.report.headline import effect_of, explain_model, lines, outcome
from workflow_scripts.report.means import WITHOUT_TEXT, mean_difference, means
from workflow_scripts.report.problems import problems
from workflow_scripts.report.scores import Scores, read_scores


def difference(low: float, high: float) -> Difference:
    return Difference((low + high) / 2, low, high, 0.01)


def against(files: list[Path], ends: dict[str, tuple[float, float]]) -> Scores:
    """Scores with an interval of the difference on each benchmark."""
    for path in files:
        described = json.loads(path.read_text())
        if described["model"] == "demo":
            found = vars(difference(*ends[described["benchmark"]]))
            described["against"] = {"start": {"zero_shot/top1": found, "zero_shot/ece": found}}
            path.write_text(json.dumps(described))
    return read_scores(files, own="demo")


@pytest.mark.parametrize(
    ("low", "high", "metric", "effect"),
    [
        (0.1, 0.2, "zero_shot/top1", "better"),
        (-0.2, -0.1, "zero_shot/top1", "worse"),
        (-0.1, 0.2, "zero_shot/top1", "even"),
        (0.0, 0.2, "zero_shot/top1", "even"),
        (-0.2, -0.1, "zero_shot/ece", "better"),
    ],
)
def test_a_difference_counts_only_where_its_interval_excludes_zero(
    low: float, high: float, metric: str, effect: str
) -> None:
    assert effect_of(difference(low, high), metric) == effect


def test_the_mean_over_benchmarks_comes_first_and_leaves_out_replay(score_files: list[Path]) -> None:
    scores = against(score_files, {"tiny": (0.2, 0.3), "other": (-0.3, 0.05)})
    averages = {mean.metric: mean for mean in means(scores)}
    assert averages["zero_shot/top1"].values == {"demo": 0.5, "start": 0.4375}
    assert averages["few_shot/1"].benchmarks == ("tiny", "other")
    assert WITHOUT_TEXT not in averages
    found = lines(scores, [*averages.values()], [])
    assert [(line.name, line.effect) for line in found] == [
        ("mean of 2", "even"),
        ("tiny", "better"),
        ("other", "even"),
    ]
    came = outcome(found)
    assert (came.effect, came.better, came.worse, came.even) == ("even", 1, 0, 1)
    assert means(scores, exclude=["other"]) == []


def test_a_mean_is_of_benchmarks_that_both_models_have(score_files: list[Path]) -> None:
    scores = read_scores([path for path in score_files if "start/other" not in str(path)], own="demo")
    assert means(scores) == []


def test_the_interval_of_a_mean_difference_is_that_of_independent_benchmarks() -> None:
    """Four differences with half-widths of 0.1: their mean has a half-width of 0.1 / sqrt(4)."""
    found = mean_difference([difference(0.1, 0.3)] * 4)
    assert found is not None
    assert (found.difference, found.low, found.high) == pytest.approx((0.2, 0.15, 0.25))
    assert found.p < 1e-6
    assert mean_difference([difference(0.1, 0.3), None]) is None


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"baselines": {"start": {"start": "start"}}, "model": {"start": "pretrain"}}, "pretrained here"),
        ({"baselines": {"start": "start"}, "model": "hf-hub:a/b"}, "hf-hub:a/b"),
        ({"baselines": {"start": "start"}, "model": {"architecture": "ViT-B-16"}}, "random weights"),
        ({"baselines": {"start": {"start": "hf-hub:c/d"}}}, "hf-hub:c/d"),
        ({}, ""),
    ],
)
def test_the_reference_model_is_described(config: dict[str, Any], says: str) -> None:
    assert says in explain_model("start", config)


def test_problems_list_worse_scores_losses_and_stopped_hosts(score_files: list[Path], accounts: list[Path]) -> None:
    scores = against(score_files, {"tiny": (-0.3, -0.2), "other": (-0.3, 0.05)})
    host = {"host": "museum.org", "stopped": True, "unverified": 4}
    birds = Account("benchmarks", "birds", "images", 5, 5, {}, {ALIKE_CLASSES: 2, "classes": 4})
    found = problems(
        lines=lines(scores, [], []),
        scores=scores,
        steps=steps_of([*(read_account(path) for path in accounts), birds]),
        gaps=["curate kept 80"],
        hosts=[host],
        training={"skipped": 3, "steps": 40, "broken_samples": ["a"]},
    )
    said = {
        section: [one.text for one in found if one.section == section] for section in {one.section for one in found}
    }
    assert "tiny" in said["scores"][0] and "other" not in said["scores"][0]
    assert any("few_shot/5 of tiny" in text for text in said["scores"])
    assert "3 of 40 steps" in said["training"][0] and "1 samples" in said["training"][1]
    assert "curate kept 80" in said["rows"]
    assert any("10 of 100 images" in text and "http error 10" in text for text in said["rows"])
    assert f"birds: 2 {ALIKE_CLASSES}" in said["rows"]
    assert "1 of 12 labels" in said["taxonomy"][0]
    assert "museum.org" in said["hosts"][0] and "4 images" in said["hosts"][1]
