"""NeWT: a support vector machine for each of many binary tasks (Van Horn et al. 2021; bioclip-2's protocol).

Features are normalised, centred on the mean of the task's training images and normalised again. A randomised search
of 100 draws with five-fold cross-validation picks the machine. The score is over all test images of all tasks.
Published: one search, seed 0. Corrected: the mean over the seeds 0, 1 and 2, as later code does.
"""

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from workflow_scripts.common.children import die_with_parent
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.geometry import Floats, unit
from workflow_scripts.common.progress import Progress
from workflow_scripts.common.resampling import Measure, Truths, share
from workflow_scripts.evaluate.columns import texts
from workflow_scripts.evaluate.measures import Outcome

if TYPE_CHECKING:
    import polars as pl

SEEDS = (0, 1, 2)
DRAWS = 100
# scikit-learn's default for classifiers: stratified, not shuffled.
FOLDS = 5


class BinaryTask(NamedTuple):
    """A task's rows of the images table and its training and test data."""

    name: str
    test: NDArray[np.int64]
    train_x: Floats
    train_y: list[str]
    test_x: Floats


class Answers(NamedTuple):
    """What the searches of some tasks answered.

    Attributes:
        rows: rows of the test images in the images table [M].
        correct: whether each image is right, by seed [S, M].
    """

    rows: NDArray[np.int64]
    correct: Truths


def search(
    features_ND: Floats, table: "pl.DataFrame", *, threads: int, draws: int = DRAWS, part: int = 0, parts: int = 1
) -> Answers:
    """Search the machines of every `parts`-th task, beginning with task number `part`, by each seed.

    Args:
        features_ND: image features.
        table: the images, with `task`, `split` (train, test) and the label as `class`.
        threads: processes that search; how many does not change a number.
        draws: machines that a search tries.
        part: which of the parts this is, from 0.
        parts: how many parts the tasks are dealt to.

    Raises:
        InputError: a task has not two labels, no test image, or too few training images.
    """
    tasks = _tasks(unit(features_ND), table)[part::parts]
    if not tasks:
        return Answers(np.zeros(0, np.int64), np.zeros((len(SEEDS), 0), np.bool_))
    classes = np.array(texts(table, "class"))
    searches = [(task, seed) for seed in SEEDS for task in tasks]
    found = list(_in_parallel(partial(_predict, draws=draws), searches, threads))
    right = [predicted == classes[task.test] for (task, _), predicted in zip(searches, found, strict=True)]
    by_seed = [np.concatenate(right[start : start + len(tasks)]) for start in range(0, len(right), len(tasks))]
    return Answers(np.concatenate([task.test for task in tasks]), np.array(by_seed))


def outcome(answers: Sequence[Answers], table: "pl.DataFrame") -> Outcome:
    """The scores of the answers to all tasks.

    Raises:
        InputError: some test images have no answer, or more than one.
    """
    rows = np.concatenate([part.rows for part in answers])
    order = np.argsort(rows)
    correct_SN = np.concatenate([part.correct for part in answers], axis=1)[:, order].astype(np.int64)
    if rows[order].tolist() != np.flatnonzero(np.array(texts(table, "split")) == "test").tolist():
        raise InputError("the searches do not answer each test image once; have them made again")
    mean = share(correct_SN.sum(axis=0), np.full(len(rows), len(SEEDS)))
    return Outcome(
        {
            "svm/micro": Measure(mean.terms, mean.statistic, float(np.std(correct_SN.mean(axis=1)))),
            "published/svm/micro": share(correct_SN[0]),
        },
        images=len(rows),
        classes=len(set(texts(table, "task"))),
        chance=0.5,
    )


def _tasks(features_ND: Floats, table: "pl.DataFrame") -> list[BinaryTask]:
    names, splits = np.array(texts(table, "task")), np.array(texts(table, "split"))
    classes = np.array(texts(table, "class"))
    tasks = []
    for name in dict.fromkeys(names.tolist()):
        train, test = (np.flatnonzero((names == name) & (splits == split)) for split in ("train", "test"))
        labels, counts = np.unique(classes[train], return_counts=True)
        if len(labels) != 2 or counts.min() < FOLDS or not len(test):
            held = ", ".join(f"{count} of {label}" for label, count in zip(labels, counts, strict=True)) or "none"
            raise InputError(
                f"task {name}: training images are {held}, test images {len(test)}; it needs two labels with at least "
                f"{FOLDS} training images each, and a test image"
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
    """What each search predicts, in their order."""
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
    # The searches are the parallelism.
    with threadpool_limits(1):
        search = RandomizedSearchCV(
            make_pipeline(StandardScaler(), SVC()), settings, n_iter=draws, random_state=seed, cv=FOLDS, n_jobs=1
        )
        predicted: Sequence[str] = search.fit(task.train_x, task.train_y).predict(task.test_x)
        return predicted
