"""Search NeWT's machines for one model and a share of the tasks, so that the searches can be scattered over jobs."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from workflow_scripts.common.cli import run
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import sha256_file
from workflow_scripts.common.frames import read_frame, write_frame
from workflow_scripts.contracts import BENCHMARK_IMAGES, NEWT_ANSWERS
from workflow_scripts.evaluate.features import Features, read_features
from workflow_scripts.evaluate.newt import DRAWS, SEEDS, Answers, search

if TYPE_CHECKING:
    import polars as pl


def search_newt(
    *, images: Path, features: Path, part: int, parts: int, out: Path, draws: int = DRAWS, threads: int = 1
) -> None:
    """Write what the searches of every `parts`-th task answer to its test images.

    Args:
        images: NeWT's images.parquet.
        features: a model's features of these images.
        part: which of the parts this is, from 0.
        parts: how many parts the tasks are dealt to.
        out: the answers.
        draws: machines that a search tries.
        threads: processes that search; how many does not change a byte.

    Raises:
        InputError: features of other images, or a task that cannot be searched.
    """
    import polars as pl

    table, found = read_frame(images, BENCHMARK_IMAGES), read_features(features)
    positions = table["position"].to_numpy()
    if found.origin.images != sha256_file(images) or not np.array_equal(found.positions, positions):
        raise InputError(f"{features}: stale, made from other images; delete it, so that it is made again")
    answers = search(found.vectors, table, threads=threads, draws=draws, part=part, parts=parts)
    rows = pl.DataFrame(
        {
            "position": np.tile(positions[answers.rows], len(SEEDS)),
            "seed": np.repeat(SEEDS, len(answers.rows)),
            "correct": answers.correct.ravel(),
        }
    )
    write_frame(rows.with_columns(features=pl.lit(found.origin.digest)), NEWT_ANSWERS, out)


def read_answers(folder: Path, parts: int, features: Features, table: "pl.DataFrame") -> list[Answers]:
    """The answers of all parts.

    Args:
        folder: where `part-NNNN.parquet` lie.
        parts: how many there are.
        features: the features that they must have been made from.
        table: the images.

    Raises:
        InputError: a part is missing, or was made from other features.
    """
    row_of = table.select("position").with_row_index("row")
    found = []
    for number in range(parts):
        path = folder / f"part-{number:04d}.parquet"
        answers = read_frame(path, NEWT_ANSWERS)
        if (answers["features"] != features.origin.digest).any():
            raise InputError(f"{path}: stale, made from other features; delete it, so that it is made again")
        # Rows are in the order of position and seed.
        correct_MS = answers["correct"].to_numpy().reshape(-1, len(SEEDS))
        images = answers.gather_every(len(SEEDS)).join(row_of, on="position", maintain_order="left")
        found.append(Answers(images["row"].to_numpy().astype(np.int64), correct_MS.T))
    return found


if __name__ == "__main__":
    run(search_newt)
