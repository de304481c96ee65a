"""The first screen: whether training worked, how good the model is, and what it is held against."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from workflow_scripts.common.resampling import Difference
from workflow_scripts.report.means import Mean
from workflow_scripts.report.published import Comparison
from workflow_scripts.report.scores import Scores, is_error

Effect = Literal["better", "worse", "even", "unknown"]
"""Whether a difference's interval excludes zero, and on which side; unknown without an interval."""
# The published model that is shown beside ours.
BESIDE = "BioCLIP 2"


@dataclass(frozen=True)
class Line:
    """One line of the first screen, fractions throughout.

    Attributes:
        name: a benchmark, or what a mean is of.
        metric: its metric.
        is_mean: whether it is a mean over benchmarks.
        own: the run's own model's score.
        interval: its 95 % interval, where known.
        start: the score of the model that it is held against, where there is one.
        difference: between the two, where known.
        chance: what guessing gives, where known.
        published: the published model's score, where the benchmark's images are the paper's own.
    """

    name: str
    metric: str
    is_mean: bool
    own: float
    interval: tuple[float, float] | None
    start: float | None
    difference: Difference | None
    chance: float | None
    published: float | None

    @property
    def effect(self) -> Effect:
        """What the difference says."""
        return effect_of(self.difference)


def effect_of(difference: Difference | None, metric: str = "") -> Effect:
    """What a difference in a metric says: nothing, unless its 95 % interval excludes zero."""
    if difference is None:
        return "unknown"
    if difference.low <= 0 <= difference.high:
        return "even"
    return "better" if (difference.low > 0) != is_error(metric) else "worse"


def lines(scores: Scores, averages: Sequence[Mean], comparisons: Sequence[Comparison]) -> list[Line]:
    """The means first, then each benchmark by its main metric."""
    own, *others = scores.models
    beside = next(iter(others), None)
    theirs = {(one.benchmark, one.metric): one.theirs.get(BESIDE) for one in comparisons}
    found = [
        Line(
            f"mean of {len(mean.benchmarks)}",
            mean.metric,
            is_mean=True,
            own=mean.values[own],
            interval=None,
            start=mean.values.get(beside or ""),
            difference=mean.difference,
            chance=mean.chance,
            published=None,
        )
        for mean in averages
        if own in mean.values and not mean.metric.startswith("few_shot/")
    ]
    for benchmark in scores.benchmarks:
        metric = scores.main_metric(benchmark)
        if (value := scores.value(benchmark, metric, own)) is not None:
            start = None if beside is None else scores.value(benchmark, metric, beside)
            found.append(
                Line(
                    benchmark,
                    metric,
                    is_mean=False,
                    own=value,
                    interval=scores.interval(benchmark, metric, own),
                    start=start,
                    difference=scores.against(benchmark, metric, own),
                    chance=scores.chance(benchmark, metric),
                    published=theirs.get((benchmark, metric)),
                )
            )
    return found


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    Attributes:
        effect: over all benchmarks: that of their mean, else of the only one.
        better, worse, even: on how many benchmarks the difference is which.
        line: the line that the effect is of.
    """

    effect: Effect
    better: int
    worse: int
    even: int
    line: Line


def outcome(found: Sequence[Line]) -> Outcome:
    """What the lines of the first screen amount to."""
    effects = [line.effect for line in found if not line.is_mean]
    first = found[0]
    return Outcome(first.effect, effects.count("better"), effects.count("worse"), effects.count("even"), first)


def explain_model(name: str, config: Mapping[str, Any]) -> str:
    """What a baseline is, in a clause: where its weights come from."""
    baseline, model = config.get("baselines", {}).get(name), config.get("model", {})
    place = baseline.get("start") if isinstance(baseline, Mapping) else baseline
    if place != "start":
        return f"weights {place}" if place else ""
    begun = model.get("start") if isinstance(model, Mapping) else model
    if begun == "pretrain":
        return "the model that this training began with, pretrained here on replay pairs without organism names"
    return f"the model that this training began with ({begun or 'random weights'})"
