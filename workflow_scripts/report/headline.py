"""The report's first screen: the main scores, their differences from the reference model, and the outcome."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from workflow_scripts.common.resampling import Difference
from workflow_scripts.report.means import Mean
from workflow_scripts.report.published import Comparison
from workflow_scripts.report.scores import Scores, is_error

Effect = Literal["better", "worse", "even", "unknown"]
"""Direction of a difference; `even` if its 95 % interval includes zero, `unknown` without an interval."""
# The published model shown on the first screen.
PUBLISHED_MODEL = "BioCLIP 2"


@dataclass(frozen=True)
class Line:
    """One line of the first screen; all scores are fractions.

    Attributes:
        name: a benchmark, or what a mean is taken over.
        metric: its metric.
        is_mean: whether it is a mean over benchmarks.
        own: the score of the run's own model.
        interval: its 95 % interval, if known.
        start: the reference model's score, if there is one.
        difference: the paired difference of the two, if known.
        chance: the score of random guessing, if known.
        published: the published model's score, if the benchmark has the paper's images.
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
        """Direction of the difference."""
        return effect_of(self.difference)


def effect_of(difference: Difference | None, metric: str = "") -> Effect:
    """Direction of a difference in a metric: better or worse only if its 95 % interval excludes zero."""
    if difference is None:
        return "unknown"
    if difference.low <= 0 <= difference.high:
        return "even"
    return "better" if (difference.low > 0) != is_error(metric) else "worse"


def lines(scores: Scores, averages: Sequence[Mean], comparisons: Sequence[Comparison]) -> list[Line]:
    """Lines of the first screen: means first, then each benchmark's main metric."""
    own, *others = scores.models
    reference = next(iter(others), None)
    published = {(one.benchmark, one.metric): one.theirs.get(PUBLISHED_MODEL) for one in comparisons}
    found = [
        Line(
            f"mean of {len(mean.benchmarks)}",
            mean.metric,
            is_mean=True,
            own=mean.values[own],
            interval=None,
            start=mean.values.get(reference or ""),
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
            start = None if reference is None else scores.value(benchmark, metric, reference)
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
                    published=published.get((benchmark, metric)),
                )
            )
    return found


@dataclass(frozen=True)
class Outcome:
    """The run's result against the reference model.

    Attributes:
        effect: direction of the first line's difference: the mean over benchmarks, or the only benchmark.
        better, worse, even: number of benchmarks in each direction.
        line: the first line.
    """

    effect: Effect
    better: int
    worse: int
    even: int
    line: Line


def outcome(found: Sequence[Line]) -> Outcome:
    """Summarize the lines of the first screen."""
    effects = [line.effect for line in found if not line.is_mean]
    first = found[0]
    return Outcome(first.effect, effects.count("better"), effects.count("worse"), effects.count("even"), first)


def explain_model(name: str, config: Mapping[str, Any]) -> str:
    """Describe a baseline in one clause: where its weights come from."""
    baseline, model = config.get("baselines", {}).get(name), config.get("model", {})
    place = baseline.get("start") if isinstance(baseline, Mapping) else baseline
    if place != "start":
        return f"weights {place}" if place else ""
    start = model.get("start") if isinstance(model, Mapping) else model
    if start == "pretrain":
        return "the model that training started from, pretrained here on replay pairs without organism names"
    return f"the model that training started from ({start or 'random weights'})"
