"""Search NeWT's machines for one model and a share of the tasks, so that the searches can be scattered over jobs."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from workflow_scripts.common.cli import run
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import sha256_file
from workflow_scripts.common.tables import read_rows, write_rows
from workflow_scripts.contracts import BENCHMARK_IMAGES, NEWT_ANSWERS
from workflow_scripts.evaluate.features import Features, read_features
from workflow_scripts.evaluate.newt import DRAWS, SEEDS, Answers, search


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
    table, found = read_rows(images, BENCHMARK_IMAGES), read_features(features)
    positions = table["position"].to_pylist()
    if found.origin.images != sha256_file(images) or found.positions.tolist() != positions:
        raise InputError(f"{features}: stale, made from other images; delete it, so that it is made again")
    answers = search(found.vectors, table, threads=threads, draws=draws, part=part, parts=parts)
    rows = [
        {"position": positions[row], "seed": seed, "correct": bool(right), "features": found.origin.digest}
        for seed, correct in zip(SEEDS, answers.correct, strict=True)
        for row, right in zip(answers.rows.tolist(), correct, strict=True)
    ]
    write_rows(rows, NEWT_ANSWERS, out)


def read_answers(folder: Path, parts: int, features: Features, table: pa.Table) -> list[Answers]:
    """The answers of all parts.

    Args:
        folder: where `part-NNNN.parquet` lie.
        parts: how many there are.
        features: the features that they must have been made from.
        table: the images.

    Raises:
        InputError: a part is missing, or was made from other features.
    """
    row_of = {position: row for row, position in enumerate(table["position"].to_pylist())}
    found = []
    for number in range(parts):
        path = folder / f"part-{number:04d}.parquet"
        answers = read_rows(path, NEWT_ANSWERS)
        if set(answers["features"].to_pylist()) - {features.origin.digest}:
            raise InputError(f"{path}: stale, made from other features; delete it, so that it is made again")
        # Rows are in the order of position and seed.
        correct_MS = np.array(answers["correct"].to_pylist(), np.bool_).reshape(-1, len(SEEDS))
        rows = [row_of[position] for position in answers["position"].to_pylist()[:: len(SEEDS)]]
        found.append(Answers(np.array(rows, np.int64), correct_MS.T))
    return found


if __name__ == "__main__":
    run(search_newt)
