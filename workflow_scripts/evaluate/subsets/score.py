"""Score several classification benchmarks as one: each by itself, and the mean of them."""

from typing import TYPE_CHECKING

from workflow_scripts.common.config.evaluate import SubsetsBenchmark
from workflow_scripts.common.geometry import unit
from workflow_scripts.common.resampling import Measure
from workflow_scripts.evaluate.csv.score import classify
from workflow_scripts.evaluate.measures import Outcome, among, mean_of
from workflow_scripts.evaluate.scoring import Embedded, Judged, Task, score_command

if TYPE_CHECKING:
    pass


def judge(task: Task, embedded: Embedded) -> Judged:
    """Each subset among its own classes, and the mean over subsets of every score that all of them have."""
    import polars as pl

    spec = task.settings.spec
    assert isinstance(spec, SubsetsBenchmark)
    vectors_ND = unit(embedded.features.vectors)
    images = len(vectors_ND)
    predictions: list[pl.DataFrame] = []
    measures: dict[str, Measure] = {}
    outcomes = []
    classes, chance = 0, 0.0
    for name in spec.subsets:
        rows, part = task.subset(name)
        judged = classify(part, embedded.clip, vectors_ND[rows], spec)
        if judged.predictions is not None:
            predictions.append(judged.predictions)
        outcomes.append({metric: among(one, rows, images) for metric, one in judged.outcome.measures.items()})
        if "zero_shot/top1" in outcomes[-1]:
            measures[f"subset/{name}/zero_shot/top1"] = outcomes[-1]["zero_shot/top1"]
        classes += judged.outcome.classes
        chance += judged.outcome.chance or 0.0
    shared = [metric for metric in outcomes[0] if all(metric in outcome for outcome in outcomes)]
    means = {metric: mean_of([outcome[metric] for outcome in outcomes]) for metric in shared}
    outcome = Outcome(means | measures, images, classes, chance / len(outcomes))
    return Judged(outcome, pl.concat(predictions) if predictions else None)


if __name__ == "__main__":
    score_command(judge)
