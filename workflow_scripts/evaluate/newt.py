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
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import scipy.stats
from numpy.typing import NDArray
from sklearn.model_selection import RandomizedSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

from workflow_scripts.common.children import die_with_parent
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.progress import Progress
from workflow_scripts.evaluate.columns import texts
from workflow_scripts.evaluate.geometry import Floats, unit
from workflow_scripts.evaluate.measures import Measure, Outcome, share

SEEDS = (0, 1, 2)
DRAWS = 100
# scikit-learn's default for classifiers: stratified, not shuffled.
FOLDS = 5
SEARCHED = {
    "svc__C": scipy.stats.loguniform(1e-3, 1e1),
    "svc__kernel": ["rbf", "linear", "sigmoid", "poly"],
    "svc__gamma": scipy.stats.loguniform(1e-4, 1e-3),
}


class BinaryTask(NamedTuple):
    """A task's rows of the images table and its training and test data."""

    name: str
    test: NDArray[np.int64]
    train_x: Floats
    train_y: list[str]
    test_x: Floats


def newt(features_ND: Floats, table: pa.Table, *, threads: int, draws: int = DRAWS) -> Outcome:
    """Micro accuracy over the test images of all tasks, as `svm/micro`.

    Args:
        features_ND: image features.
        table: the images, with `task`, `split` (train, test) and the label as `class`.
        threads: processes that search; how many does not change a number.
        draws: machines that a search tries.

    Raises:
        InputError: a task has not two labels, no test image, or too few training images.
    """
    tasks = _tasks(unit(features_ND), table)
    classes = np.array(texts(table, "class"))
    searches = [(task, seed) for seed in SEEDS for task in tasks]
    found = list(_in_parallel(partial(_predict, draws=draws), searches, threads))
    correct_SN = np.zeros((len(SEEDS), len(table)), np.int64)
    for (task, seed), predicted in zip(searches, found, strict=True):
        correct_SN[SEEDS.index(seed), task.test] = predicted == classes[task.test]
    tested = np.sort(np.concatenate([task.test for task in tasks]))
    correct_SN = correct_SN[:, tested]
    mean = share(correct_SN.sum(axis=0), np.full(correct_SN.shape[1], len(SEEDS)))
    return Outcome(
        {
            "svm/micro": Measure(mean.terms, mean.statistic, float(np.std(correct_SN.mean(axis=1)))),
            "published/svm/micro": share(correct_SN[0]),
        },
        images=correct_SN.shape[1],
        classes=len(tasks),
        chance=0.5,
    )


def _tasks(features_ND: Floats, table: pa.Table) -> list[BinaryTask]:
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
    task, seed = searched
    # The searches are the parallelism.
    with threadpool_limits(1):
        search = RandomizedSearchCV(
            make_pipeline(StandardScaler(), SVC()), SEARCHED, n_iter=draws, random_state=seed, cv=FOLDS, n_jobs=1
        )
        predicted: Sequence[str] = search.fit(task.train_x, task.train_y).predict(task.test_x)
        return predicted
