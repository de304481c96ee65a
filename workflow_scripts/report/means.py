"""Scores averaged over benchmarks with equal weights."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from workflow_scripts.common.resampling import NORMAL_95, Difference
from workflow_scripts.report.scores import MAIN_METRIC, Scores

# Name of the mean over benchmarks without text, which share no metric.
WITHOUT_TEXT = "tasks without text"


@dataclass(frozen=True)
class Mean:
    """A mean over the benchmarks that the run's own model and the reference model were both scored on.

    Attributes:
        metric: the metric, or `WITHOUT_TEXT`.
        benchmarks: the benchmarks.
        values: each model's mean, a fraction.
        difference: of the run's own model from the reference model, if known for each benchmark.
        chance: mean score of random guessing, if known for each benchmark.
    """

    metric: str
    benchmarks: tuple[str, ...]
    values: Mapping[str, float]
    difference: Difference | None
    chance: float | None


def means(scores: Scores, exclude: Sequence[str] = ()) -> list[Mean]:
    """Means over at least two benchmarks: of zero-shot top-1, of tasks without text, and of each few-shot score.

    Args:
        scores: all scores.
        exclude: benchmarks outside the models' field (replay), left out of all means.
    """
    names = [name for name in scores.benchmarks if name not in exclude]
    shots = [metric for name in names for metric in scores.metrics(name) if metric.startswith("few_shot/")]
    main = {name: scores.main_metric(name) for name in names}
    averaged = {
        MAIN_METRIC: [(name, metric) for name, metric in main.items() if metric == MAIN_METRIC],
        WITHOUT_TEXT: [(name, metric) for name, metric in main.items() if metric != MAIN_METRIC],
    }
    averaged |= {shot: [(name, shot) for name in names if shot in scores.metrics(name)] for shot in sorted({*shots})}
    found = (_mean(scores, metric, which) for metric, which in averaged.items())
    return [mean for mean in found if mean is not None]


def _mean(scores: Scores, metric: str, which: Sequence[tuple[str, str]]) -> Mean | None:
    scored = {(name, model): scores.value(name, one, model) for name, one in which for model in scores.models}
    models = [model for model in scores.models if any(scored[name, model] is not None for name, _ in which)]
    shared = [(name, one) for name, one in which if all(scored[name, model] is not None for model in models[:2])]
    if len(shared) < 2:
        return None
    complete = [model for model in models if all(scored[name, model] is not None for name, _ in shared)]
    own = scores.models[0]
    chances = [scores.chance(name, one) for name, one in shared]
    return Mean(
        metric,
        tuple(name for name, _ in shared),
        {model: sum(scored[name, model] or 0.0 for name, _ in shared) / len(shared) for model in complete},
        mean_difference([scores.against(name, one, own) for name, one in shared]),
        sum(chance or 0.0 for chance in chances) / len(chances) if None not in chances else None,
    )


def mean_difference(found: Sequence[Difference | None]) -> Difference | None:
    """The mean of differences on independent images, with p of a normal test; None if any of them is unknown."""
    known = [one for one in found if one is not None]
    if len(known) < len(found) or not known:
        return None
    mean = sum(one.difference for one in known) / len(known)
    errors = [(one.high - one.low) / (2 * NORMAL_95) for one in known]
    error = math.sqrt(sum(error**2 for error in errors)) / len(known)
    p = math.erfc(abs(mean) / error / math.sqrt(2)) if error else float(mean == 0)
    return Difference(mean, mean - NORMAL_95 * error, mean + NORMAL_95 * error, p)
