"""Score several classification benchmarks as one: each subset separately, and their mean."""

from workflow_scripts.common.config.evaluate import SubsetsBenchmark
from workflow_scripts.common.protocols import PROTOCOLS
from workflow_scripts.common.resampling import Integers, Measure
from workflow_scripts.evaluate.csv.score import classify
from workflow_scripts.evaluate.measures import ByProtocol, Outcome, among, by_protocol, mean_of
from workflow_scripts.evaluate.scoring import Embedded, ModelResult, Task, score_command

TOP1 = "zero_shot/top1"


def score_model(task: Task, embedded: Embedded) -> ModelResult:
    """Score each subset among its own classes, and average every metric that all subsets have."""
    import polars as pl

    spec = task.settings.spec
    assert isinstance(spec, SubsetsBenchmark)
    features, images = embedded.features.normalised(), len(task.table)
    parts = {name: task.subset(name) for name in spec.subsets}
    rows = {name: rows for name, (rows, _) in parts.items()}
    results = {name: classify(part, embedded.clip, features.of(rows[name]), spec) for name, (_, part) in parts.items()}
    outcomes = [one.outcome for one in results.values()]
    shared = [metric for metric in outcomes[0].by_metric if all(metric in one.by_metric for one in outcomes)]
    means = {
        metric: _mean([one.by_metric[metric] for one in outcomes], list(rows.values()), images) for metric in shared
    }
    own = {
        f"subset/{name}/{TOP1}": by_protocol(
            {protocol: (measure,) for protocol, measure in one.outcome.by_metric[TOP1].items()},
            lambda measure, of=rows[name]: among(measure, of, images),
        )
        for name, one in results.items()
        if TOP1 in one.outcome.by_metric
    }
    classes, chance = sum(one.classes for one in outcomes), sum(one.chance or 0.0 for one in outcomes) / len(outcomes)
    predictions = [one.predictions for one in results.values() if one.predictions is not None]
    left_out: dict[str, str] = {}
    for name, one in results.items():
        for metric, why in one.outcome.left_out.items():
            left_out[metric] = "; ".join(filter(None, (left_out.get(metric), f"subset {name}: {why}")))
    outcome = Outcome(means | own, images, classes, chance, left_out)
    return ModelResult(outcome, pl.concat(predictions) if predictions else None)


def _mean(of_subsets: list[ByProtocol], rows: list[Integers], images: int) -> ByProtocol:
    """The mean of a metric over subsets, for each protocol that all subsets have."""

    def mean(*measures: Measure) -> Measure:
        return mean_of([among(one, its, images) for one, its in zip(measures, rows, strict=True)])

    shared = [protocol for protocol in PROTOCOLS if all(protocol in one for one in of_subsets)]
    return by_protocol({protocol: tuple(one[protocol] for one in of_subsets) for protocol in shared}, mean)


if __name__ == "__main__":
    score_command(score_model)
