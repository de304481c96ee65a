"""SimpleShot scores worked out by hand, for both protocols."""

import random
import re
import tracemalloc

import numpy as np
import pytest

from workflow_scripts.common.geometry import Floats, unit
from workflow_scripts.evaluate import simpleshot as module
from workflow_scripts.evaluate.classes import Classes
from workflow_scripts.evaluate.simpleshot import FOLDS, simpleshot, too_few_images


def floats(values: object) -> Floats:
    return np.array(values, dtype=np.float32)


def at_degrees(*degrees: float) -> Floats:
    angles = np.radians(degrees)
    return floats(np.stack([np.cos(angles), np.sin(angles)], axis=1))


@pytest.mark.parametrize("accumulate", [False, True])
def test_well_separated_classes_are_all_found(accumulate: bool) -> None:
    features = at_degrees(0, 2, 4, 6, 8, 10, 120, 122, 124, 126, 128, 130, 240, 242, 244, 246, 248, 250)
    classes = Classes.in_order(["a"] * 6 + ["b"] * 6 + ["c"] * 6)
    found = simpleshot(features, classes, [1, 5], accumulate=accumulate)
    assert {k: folds.accuracies for k, folds in found.items()} == {1: [1.0] * FOLDS, 5: [1.0] * FOLDS}


def test_an_image_among_the_others_class_is_wrong_in_every_fold_that_queries_it() -> None:
    """With k = 1 the stray image is a support once in a while; then all of its class and half of the rest go wrong.

    Class a: images at 0 degrees and one stray at 180; class b: images at 180. When the stray is no support, the two
    supports lie opposite each other, every query but the stray is right: 4 of 5. When it is, both supports are equal,
    their mean is the support itself and all centred supports are null: every class is equally near, a wins: 2 of 5.
    """
    features = at_degrees(0, 0, 180, 180, 180, 180, 180)
    names = ["a", "a", "a", "b", "b", "b", "b"]
    accuracies = simpleshot(features, Classes.in_order(names), [1], accumulate=False)[1].accuracies
    for fold, accuracy in enumerate(accuracies):
        images = [0, 1, 2]
        random.Random(fold).shuffle(images)
        assert accuracy == pytest.approx(2 / 5 if images[0] == 2 else 4 / 5)
    assert set(accuracies) == {2 / 5, 4 / 5}


def test_the_mean_of_the_supports_is_subtracted_before_lengths_are_taken() -> None:
    """All features share a large part; only what is left after centring tells the classes apart.

    Supports (10, 1) and (10, -1): mean (10, 0); centred and normalised (0, 1) and (0, -1). The query (9, 0.1) becomes
    (-1, 0.1) / |.|, nearer to (0, 1), though its plain cosine is highest with neither.
    """
    features = floats([[10, 1], [9, 0.1], [10, -1], [9, -0.1]])
    support = np.array([[0], [2]])
    assert module.nearest_mean(features, support, np.array([1, 3])).tolist() == [0, 1]


def test_many_queries_among_many_classes_are_held_a_block_at_a_time() -> None:
    """Forty thousand queries, two thousand classes: all distances at once are 320 MB, and that several times."""
    features = np.random.default_rng(0).normal(size=(42_000, 4)).astype(np.float32)
    tracemalloc.start()
    found = module.nearest_mean(features, np.arange(2000)[:, None], np.arange(2000, 42_000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found) == 40_000
    assert peak < 300e6


def test_class_means_are_not_normalised_again() -> None:
    """k = 2. Class a: centred supports at +-60 degrees, mean (0.5, 0); class b: both at 180 degrees, mean (-1, 0).

    The query at 90 degrees is sqrt(1.25) from a and sqrt(2) from b; with normalised means both would be sqrt(2) away,
    and of equals the first would win: so b comes first here.
    """
    features = floats([[-1, 0], [-1, 0], [1, 3**0.5], [1, -(3**0.5)], [0, 1]])
    centred = features - features[:4].mean(axis=0)
    np.testing.assert_allclose(centred[:4].mean(axis=0), 0, atol=1e-6)
    assert module.nearest_mean(features, np.array([[0, 1], [2, 3]]), np.array([4])).tolist() == [1]


def test_published_shuffles_accumulate_over_folds_and_shots(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: dict[bool, list[list[int]]] = {False: [], True: []}

    for accumulate, supports in drawn.items():

        def record(
            features: Floats, support: np.ndarray, query: np.ndarray, kept: list[list[int]] = supports
        ) -> Floats:
            kept.append(support[:, 0].tolist())
            assert sorted([*support.ravel(), *query]) == list(range(14))
            return np.zeros(len(query), dtype=np.int64)

        monkeypatch.setattr(module, "nearest_mean", record)
        simpleshot(np.eye(14, dtype=np.float32), Classes.in_order(["a", "b"] * 7), [1, 5], accumulate=accumulate)

    accumulated, expected = {"a": list(range(0, 14, 2)), "b": list(range(1, 14, 2))}, []
    fresh = []
    for _ in (1, 5):
        for fold in range(FOLDS):
            random.seed(fold)
            for images in accumulated.values():
                random.shuffle(images)
            expected.append([images[0] for images in accumulated.values()])
            random.seed(fold)
            afresh = [list(range(start, 14, 2)) for start in (0, 1)]
            for images in afresh:
                random.shuffle(images)
            fresh.append([images[0] for images in afresh])
    assert drawn[True] == expected
    assert drawn[False] == fresh
    assert expected != fresh
    assert expected[0] == fresh[0]


@pytest.mark.parametrize("accumulate", [False, True])
def test_a_class_with_too_few_images_costs_the_shots_that_need_more_and_is_named(accumulate: bool) -> None:
    classes = Classes.in_order(["many"] * 6 + ["few"] * 5)
    features = unit(floats(np.random.default_rng(0).normal(size=(11, 3))))
    found = simpleshot(features, classes, [5, 1], accumulate=accumulate)
    alone = simpleshot(features, classes, [1], accumulate=accumulate)
    assert list(found) == [1]
    assert found[1].accuracies == alone[1].accuracies
    assert too_few_images(classes, 1) == ""
    assert re.search(r"5-shot needs 6 .*'few' has 5$", too_few_images(classes, 5))
    assert "'many' has 6" in too_few_images(classes, 6)
    singles = Classes.in_order([f"c{number}" for number in range(9)])
    assert re.search(r"'c4' has 1 and 4 more", too_few_images(singles, 1))


def test_permuted_labels_give_chance() -> None:
    generator = np.random.default_rng(0)
    features = unit(floats(generator.normal(size=(1000, 16))))
    classes = Classes.in_order([f"{number}" for number in generator.permutation(np.repeat(np.arange(10), 100))])
    assert np.mean(simpleshot(features, classes, [5], accumulate=False)[5].accuracies) == pytest.approx(0.1, abs=0.03)


def test_the_order_of_the_classes_labels_does_not_matter() -> None:
    generator = np.random.default_rng(0)
    features = unit(floats(generator.normal(size=(60, 4))))
    numbers = np.repeat(np.arange(6), 10)
    named = simpleshot(features, Classes.in_order([f"class {n}" for n in numbers]), [1], accumulate=True)
    renamed = simpleshot(features, Classes.in_order([f"class {9 - n}" for n in numbers]), [1], accumulate=True)
    assert named[1].accuracies == renamed[1].accuracies
