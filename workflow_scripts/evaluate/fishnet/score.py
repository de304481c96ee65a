"""FishNet: nine traits of a fish, all of which must be right (Khan et al. 2023; bioclip-2's protocol)."""

from typing import TYPE_CHECKING

import numpy as np

from workflow_scripts.common.geometry import Floats
from workflow_scripts.common.resampling import Truths, share
from workflow_scripts.evaluate.columns import rows_of, targets
from workflow_scripts.evaluate.measures import Outcome
from workflow_scripts.evaluate.probe import predictions
from workflow_scripts.evaluate.scoring import Embedded, Judged, Task, score_command

if TYPE_CHECKING:
    import polars as pl

TRAITS = 9
LR = 1e-4


def fishnet(features_ND: Floats, table: "pl.DataFrame") -> Outcome:
    """Share of test images with all nine traits right, as `traits/all_right`.

    Args:
        features_ND: image features, not normalised.
        table: the images, with `split` (train, test) and `targets`, nine zeros and ones.

    Raises:
        InputError: a split is empty, or targets are no such string.
    """
    truth_NL = targets(table, TRAITS)
    train, test = rows_of(table, "train"), rows_of(table, "test")
    corrected, published = predictions(features_ND[train], truth_NL[train], features_ND[test], lr=LR)
    return outcome(truth_NL[test], corrected, published)


def outcome(truth_NL: Truths, corrected_NL: Truths, published_NL: Truths) -> Outcome:
    """The scores of both protocols' predictions."""
    return Outcome(
        {
            "traits/all_right": share(np.all(corrected_NL == truth_NL, axis=1)),
            "published/traits/all_right": share(np.all(published_NL == truth_NL, axis=1)),
        },
        images=len(truth_NL),
        classes=truth_NL.shape[1],
    )


def judge(task: Task, embedded: Embedded) -> Judged:
    """Score a model on the benchmark."""
    return Judged(fishnet(embedded.features.vectors, task.table))


if __name__ == "__main__":
    score_command(judge)
