"""Run NeWT's hyperparameter searches for one model and some of the tasks, so that jobs can share the work.

NeWT fits a support vector machine to each of 164 binary tasks (Van Horn et al. 2021; bioclip-2's protocol). Features
are normalised, centred on the mean of the task's training images and normalised again. A randomised search of 100 draws
with five-fold cross-validation selects the hyperparameters.
"""

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from workflow_scripts.common.children import die_with_parent
from workflow_scripts.common.cli import run
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import sha256_file
from workflow_scripts.common.frames import read_frame, write_frame
from workflow_scripts.common.geometry import Floats, unit
from workflow_scripts.common.progress import Progress
from workflow_scripts.common.protocols import CORRECTED, Protocol
from workflow_scripts.common.resampling import Truths
from workflow_scripts.contracts import BENCHMARK_IMAGES, NEWT_ANSWERS
from workflow_scripts.evaluate.columns import column_values
from workflow_scripts.evaluate.features import Features, read_features
from workflow_scripts.evaluate.measures import by_protocol

if TYPE_CHECKING:
    import polars as pl

SEEDS = (0, 1, 2)
# v1.0.1 embeds as v2.0.0 does and uses its seed 0.
SEARCHED: tuple[Protocol, ...] = ("v2.0.0", "main-49e1cf5", "corrected")
DRAWS = 100
# scikit-learn's default for classifiers: stratified, not shuffled.
FOLDS = 5


class BinaryTask(NamedTuple):
    """A binary task: its test rows in the images table, and its training and test data."""

    name: str
    test: NDArray[np.int64]
    train_x: Floats
    train_y: list[str]
    test_x: Floats


class Answers(NamedTuple):
    """Search results of some tasks.

    Attributes:
        rows: rows of the test images in the images table [M].
        correct: by protocol, whether each image is classified correctly, by seed [S, M].
    """

    rows: NDArray[np.int64]
    correct: dict[Protocol, Truths]


def search_newt(
    *, images: Path, features: Path, part: int, parts: int, out: Path, draws: int = DRAWS, threads: int = 1
) -> None:
    """Search every `parts`-th task and write whether its test images are classified correctly.

    Args:
        images: NeWT's images.parquet.
        features: a model's features of these images.
        part: index of this part, from 0.
        parts: number of parts that the tasks are divided into.
        out: the results to write.
        draws: hyperparameter settings that each search tries.
        threads: processes that search; the number does not affect the output.

    Raises:
        InputError: the features belong to other images, or a task has too few images.
    """
    import polars as pl

    table, found = read_frame(images, BENCHMARK_IMAGES), read_features(features)
    positions = table["position"].to_numpy()
    if found.origin.images != sha256_file(images) or not np.array_equal(found.positions, positions):
        raise InputError(f"{features}: stale, made from other images; delete it and embed the images again")
    answers = search(found, table, threads=threads, draws=draws, part=part, parts=parts)
    rows = [
        pl.DataFrame(
            {
                "position": np.tile(positions[answers.rows], len(SEEDS)),
                "protocol": [protocol] * correct_SM.size,
                "seed": np.repeat(SEEDS, len(answers.rows)),
                "correct": correct_SM.ravel(),
            },
            schema={"position": pl.Int64, "protocol": pl.String, "seed": pl.Int64, "correct": pl.Boolean},
        )
        for protocol, correct_SM in answers.correct.items()
    ]
    write_frame(pl.concat(rows).with_columns(features=pl.lit(found.origin.digest)), NEWT_ANSWERS, out)


def search(
    features: Features, table: "pl.DataFrame", *, threads: int, draws: int = DRAWS, part: int = 0, parts: int = 1
) -> Answers:
    """Search every `parts`-th task, starting with task number `part`, once per seed.

    A task is searched separately for protocols that use different features of its images.

    Args:
        features: image features.
        table: the images, with `task`, `split` (train, test) and `class` (the label).
        threads: processes that search; the number does not affect the result.
        draws: hyperparameter settings that each search tries.
        part: index of this part, from 0.
        parts: number of parts that the tasks are divided into.

    Raises:
        InputError: a task does not have two labels, or has no test image or too few training images.
    """
    given = {protocol: (features.for_protocol(protocol, autocast=False),) for protocol in SEARCHED}
    tasks = by_protocol(given, lambda vectors_ND: _tasks(unit(vectors_ND), table)[part::parts])
    if not tasks[CORRECTED]:
        return Answers(np.zeros(0, np.int64), {one: np.zeros((len(SEEDS), 0), np.bool_) for one in SEARCHED})
    distinct: list[BinaryTask] = []
    place_of: dict[Protocol, list[int]] = {protocol: [] for protocol in SEARCHED}
    for number in range(len(tasks[CORRECTED])):
        first = len(distinct)
        for protocol in SEARCHED:
            task = tasks[protocol][number]
            alike = (place for place in range(first, len(distinct)) if _alike(task, distinct[place]))
            place = next(alike, len(distinct))
            distinct += [task] * (place == len(distinct))
            place_of[protocol].append(place)
    classes = np.array(column_values(table, "class"))
    searches = [(task, seed) for seed in SEEDS for task in distinct]
    found = list(_in_parallel(partial(_predict, draws=draws), searches, threads))
    right = [predicted == classes[task.test] for (task, _), predicted in zip(searches, found, strict=True)]
    by_seed = [right[start : start + len(distinct)] for start in range(0, len(right), len(distinct))]
    correct = {
        protocol: np.array([np.concatenate([of_seed[place] for place in places]) for of_seed in by_seed])
        for protocol, places in place_of.items()
    }
    return Answers(np.concatenate([task.test for task in tasks[CORRECTED]]), correct)


def _alike(task: BinaryTask, other: BinaryTask) -> bool:
    """Whether two protocols' features of a task's images are the same."""
    return np.array_equal(task.train_x, other.train_x) and np.array_equal(task.test_x, other.test_x)


def _tasks(features_ND: Floats, table: "pl.DataFrame") -> list[BinaryTask]:
    names, splits = np.array(column_values(table, "task")), np.array(column_values(table, "split"))
    classes = np.array(column_values(table, "class"))
    tasks = []
    for name in dict.fromkeys(names.tolist()):
        train, test = (np.flatnonzero((names == name) & (splits == split)) for split in ("train", "test"))
        labels, counts = np.unique(classes[train], return_counts=True)
        if len(labels) != 2 or counts.min() < FOLDS or not len(test):
            found = ", ".join(f"{count} of {label}" for label, count in zip(labels, counts, strict=True)) or "none"
            raise InputError(
                f"task {name}: expected two labels with at least {FOLDS} training images each, and a test image; found "
                f"training images: {found}; test images: {len(test)}"
            )
        mean_D = features_ND[train].mean(axis=0)
        train_x, test_x = unit(features_ND[train] - mean_D), unit(features_ND[test] - mean_D)
        tasks.append(BinaryTask(name, test, train_x, classes[train].tolist(), test_x))
    return tasks


def _in_parallel(
    search: Callable[[tuple[BinaryTask, int]], Sequence[str]],
    searches: Sequence[tuple[BinaryTask, int]],
    processes: int,
) -> Iterator[Sequence[str]]:
    """Yield the predictions of each search, in order."""
    with Progress("searches", len(searches), "searches") as progress, ExitStack() as stack:
        found: Iterable[Sequence[str]] = map(search, searches)
        if processes > 1:
            context = multiprocessing.get_context("spawn")
            workers = ProcessPoolExecutor(processes, context, initializer=die_with_parent, initargs=(os.getpid(),))
            found = stack.enter_context(workers).map(search, searches)
        for predicted in found:
            progress.update(1)
            yield predicted


def _predict(searched: tuple[BinaryTask, int], *, draws: int) -> Sequence[str]:
    import scipy.stats
    from sklearn.model_selection import RandomizedSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    task, seed = searched
    settings = {
        "svc__C": scipy.stats.loguniform(1e-3, 1e1),
        "svc__kernel": ["rbf", "linear", "sigmoid", "poly"],
        "svc__gamma": scipy.stats.loguniform(1e-4, 1e-3),
    }
    # Searches run in parallel processes, so each uses one thread.
    with threadpool_limits(1):
        search = RandomizedSearchCV(
            make_pipeline(StandardScaler(), SVC()), settings, n_iter=draws, random_state=seed, cv=FOLDS, n_jobs=1
        )
        predicted: Sequence[str] = search.fit(task.train_x, task.train_y).predict(task.test_x)
        return predicted


if __name__ == "__main__":
    run(search_newt)
