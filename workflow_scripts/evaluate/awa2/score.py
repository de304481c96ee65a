"""Animals with Attributes 2: 85 attributes of animals never seen in training (Xian et al. 2018; bioclip-2's protocol).

The published macro F1 is taken over the first two attributes alone: `labels=np.unique(y_true)` names the columns 0
and 1 where the labels are zeros and ones.
"""

from typing import TYPE_CHECKING

from workflow_scripts.common.geometry import Floats
from workflow_scripts.common.resampling import Truths
from workflow_scripts.evaluate.columns import rows_of, targets
from workflow_scripts.evaluate.measures import Outcome, macro_f1
from workflow_scripts.evaluate.probe import predictions
from workflow_scripts.evaluate.scoring import Embedded, Judged, Task, score_command

if TYPE_CHECKING:
    import polars as pl

ATTRIBUTES = 85
LR = 1e-5
PUBLISHED_COLUMNS = 2


def awa2(features_ND: Floats, table: "pl.DataFrame") -> Outcome:
    """Macro F1 over the attributes of the test images, as `attributes/macro_f1`.

    Args:
        features_ND: image features, not normalised.
        table: the images, with `split` (train, test) and `targets`, 85 zeros and ones.

    Raises:
        InputError: a split is empty, or targets are no such string.
    """
    truth_NL = targets(table, ATTRIBUTES)
    train, test = rows_of(table, "train"), rows_of(table, "test")
    corrected, published = predictions(features_ND[train], truth_NL[train], features_ND[test], lr=LR)
    return outcome(truth_NL[test], corrected, published)


def outcome(truth_NL: Truths, corrected_NL: Truths, published_NL: Truths) -> Outcome:
    """The scores of both protocols' predictions."""
    few = slice(PUBLISHED_COLUMNS)
    return Outcome(
        {
            "attributes/macro_f1": macro_f1(truth_NL, corrected_NL),
            "published/attributes/macro_f1": macro_f1(truth_NL[:, few], published_NL[:, few]),
        },
        images=len(truth_NL),
        classes=truth_NL.shape[1],
    )


def judge(task: Task, embedded: Embedded) -> Judged:
    """Score a model on the benchmark."""
    return Judged(awa2(embedded.features.vectors, task.table))


if __name__ == "__main__":
    score_command(judge)
