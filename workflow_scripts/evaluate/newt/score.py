"""Score NeWT: micro accuracy over the test images of all tasks.

v1.0.1 runs one search, with seed 0; later code and the corrected protocol average over the seeds 0, 1 and 2.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from workflow_scripts.common.config.evaluate import NewtBenchmark
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.frames import read_frame
from workflow_scripts.common.geometry import Floats
from workflow_scripts.common.protocols import CORRECTED, PROTOCOLS
from workflow_scripts.common.resampling import Measure
from workflow_scripts.contracts import NEWT_ANSWERS
from workflow_scripts.evaluate.columns import column_values
from workflow_scripts.evaluate.features import Features
from workflow_scripts.evaluate.measures import Outcome, by_protocol, mean_over_seeds
from workflow_scripts.evaluate.newt.search import SEARCHED, SEEDS, Answers
from workflow_scripts.evaluate.scoring import Embedded, ModelResult, Task, score_command

if TYPE_CHECKING:
    import polars as pl


def score_model(task: Task, embedded: Embedded) -> ModelResult:
    """Score a model's search results.

    Raises:
        InputError: they are missing or were made from other features.
    """
    spec = task.settings.spec
    assert isinstance(spec, NewtBenchmark)
    if embedded.searches is None:
        raise InputError(
            f"{task.benchmark}: no search results are given; run evaluate.newt.search, and give --searches its folders"
        )
    answers = read_answers(embedded.searches, spec.jobs, embedded.features, task.table)
    return ModelResult(outcome(answers, task.table, embedded.features))


def outcome(answers: Sequence[Answers], table: "pl.DataFrame", features: Features) -> Outcome:
    """Compute the scores from the search results of all tasks.

    Args:
        answers: search results of all parts.
        table: the images.
        features: the features that were searched; protocols that use the same features share a score.

    Raises:
        InputError: a test image has no result, or more than one.
    """
    rows = np.concatenate([part.rows for part in answers])
    order = np.argsort(rows)
    if rows[order].tolist() != np.flatnonzero(np.array(column_values(table, "split")) == "test").tolist():
        raise InputError(
            "the search results do not cover each test image exactly once; delete them and run evaluate.newt.search "
            "again"
        )

    def score(vectors_ND: Floats, seeds: int) -> Measure:
        searched = next(one for one in SEARCHED if features.for_protocol(one, autocast=False) is vectors_ND)
        correct_SN = np.concatenate([part.correct[searched] for part in answers], axis=1)[:, order]
        return mean_over_seeds(correct_SN[:seeds])

    given = {
        protocol: (features.for_protocol(protocol, autocast=False), 1 if protocol == "v1.0.1" else len(SEEDS))
        for protocol in PROTOCOLS
    }
    return Outcome(
        {"svm/micro": by_protocol(given, score)},
        images=len(rows),
        classes=len(set(column_values(table, "task"))),
        chance=0.5,
    )


def read_answers(folder: Path, parts: int, features: Features, table: "pl.DataFrame") -> list[Answers]:
    """Read the search results of all parts.

    Args:
        folder: the folder of `part-NNNN.parquet`.
        parts: number of parts.
        features: the features that the results must have been made from.
        table: the images.

    Raises:
        InputError: a part is missing or was made from other features.
    """
    row_of = table.select("position").with_row_index("row")
    found = []
    for number in range(parts):
        path = folder / f"part-{number:04d}.parquet"
        answers = read_frame(path, NEWT_ANSWERS)
        if (answers["features"] != features.origin.digest).any():
            raise InputError(f"{path}: stale, made from other features; delete it and run evaluate.newt.search again")
        # Rows are sorted by position, protocol and seed.
        of_protocol = {protocol: answers.filter(protocol=protocol) for protocol in SEARCHED}
        correct = {
            protocol: one["correct"].to_numpy().reshape(-1, len(SEEDS)).T for protocol, one in of_protocol.items()
        }
        images = of_protocol[CORRECTED].gather_every(len(SEEDS)).join(row_of, on="position", maintain_order="left")
        found.append(Answers(images["row"].to_numpy().astype(np.int64), correct))
    return found


if __name__ == "__main__":
    score_command(score_model)
