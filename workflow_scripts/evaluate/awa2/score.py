"""Score Animals with Attributes 2: 85 attributes of unseen animal classes (Xian et al. 2018; bioclip-2's protocol).

In all versions of the published code macro F1 covers only the first two attributes: it passes
`labels=np.unique(y_true)`, which selects columns 0 and 1 because the labels are zeros and ones.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.common.protocols import CORRECTED, Protocol
from workflow_scripts.common.resampling import Measure, Truths
from workflow_scripts.evaluate.columns import rows_of, targets
from workflow_scripts.evaluate.features import Features
from workflow_scripts.evaluate.measures import Outcome, by_protocol, macro_f1, mean_of
from workflow_scripts.evaluate.probe import predictions
from workflow_scripts.evaluate.scoring import Embedded, ModelResult, Task, score_command

if TYPE_CHECKING:
    import polars as pl

ATTRIBUTES = 85
LR = 1e-5
Columns = slice | NDArray[np.int64]


def awa2(features: Features, table: "pl.DataFrame") -> Outcome:
    """Macro F1 over the attributes of the test images, as `attributes/macro_f1`: the mean over seeds.

    Args:
        features: image features.
        table: the images, with `split` (train, test) and `targets`, 85 zeros and ones.

    Raises:
        InputError: a split is empty, or `targets` has another format.
    """
    truth_NL = targets(table, ATTRIBUTES)
    train, test = rows_of(table, "train"), rows_of(table, "test")
    return outcome(truth_NL[test], predictions(features, truth_NL, train, test, lr=LR))


def outcome(truth_NL: Truths, predicted: Mapping[Protocol, tuple[Truths, ...]]) -> Outcome:
    """Scores of each protocol's predictions, which are given by seed."""
    values = np.unique(truth_NL).astype(np.int64)
    columns = {protocol: slice(None) if protocol == CORRECTED else values for protocol in predicted}

    def mean_f1(columns: Columns, *predicted_NL: Truths) -> Measure:
        by_seed = [macro_f1(truth_NL[:, columns], one[:, columns]) for one in predicted_NL]
        spread = float(np.std([one.value for one in by_seed])) if len(by_seed) > 1 else None
        return mean_of(by_seed, spread)

    given = {protocol: (columns[protocol], *by_seed) for protocol, by_seed in predicted.items()}
    return Outcome({"attributes/macro_f1": by_protocol(given, mean_f1)}, *truth_NL.shape)


def score_model(task: Task, embedded: Embedded) -> ModelResult:
    """Score a model on the benchmark."""
    return ModelResult(awa2(embedded.features, task.table))


if __name__ == "__main__":
    score_command(score_model)
