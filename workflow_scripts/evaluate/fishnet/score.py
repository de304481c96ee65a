"""Score FishNet: nine traits of a fish, all of which must be correct (Khan et al. 2023; bioclip-2's protocol)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from workflow_scripts.common.protocols import Protocol
from workflow_scripts.common.resampling import Measure, Truths
from workflow_scripts.evaluate.columns import rows_of, targets
from workflow_scripts.evaluate.features import Features
from workflow_scripts.evaluate.measures import Outcome, by_protocol, mean_over_seeds
from workflow_scripts.evaluate.probe import predictions
from workflow_scripts.evaluate.scoring import Embedded, ModelResult, Task, score_command

if TYPE_CHECKING:
    import polars as pl

TRAITS = 9
LR = 1e-4


def fishnet(features: Features, table: "pl.DataFrame") -> Outcome:
    """Share of test images with all nine traits correct, as `traits/all_right`: the mean over seeds.

    Args:
        features: image features.
        table: the images, with `split` (train, test) and `targets`, nine zeros and ones.

    Raises:
        InputError: a split is empty, or `targets` has another format.
    """
    truth_NL = targets(table, TRAITS)
    train, test = rows_of(table, "train"), rows_of(table, "test")
    return outcome(truth_NL[test], predictions(features, truth_NL, train, test, lr=LR))


def outcome(truth_NL: Truths, predicted: Mapping[Protocol, tuple[Truths, ...]]) -> Outcome:
    """Scores of each protocol's predictions, which are given by seed."""

    def all_right(*predicted_NL: Truths) -> Measure:
        return mean_over_seeds(np.array([np.all(one == truth_NL, axis=1) for one in predicted_NL]))

    return Outcome({"traits/all_right": by_protocol(predicted, all_right)}, *truth_NL.shape)


def score_model(task: Task, embedded: Embedded) -> ModelResult:
    """Score a model on the benchmark."""
    return ModelResult(fishnet(embedded.features, task.table))


if __name__ == "__main__":
    score_command(score_model)
