"""Zero-shot scores worked out by hand."""

import numpy as np
import pytest

from workflow_scripts.common.geometry import Floats, unit
from workflow_scripts.evaluate.classes import Classes
from workflow_scripts.evaluate.zero_shot import Nearest, classify


def floats(values: object) -> Floats:
    return np.array(values, dtype=np.float32)


def accuracy(nearest: Nearest) -> dict[str, float]:
    return {top: float(np.mean(right)) for top, right in nearest.right().items()}


def test_classes_are_numbered_by_first_appearance() -> None:
    classes = Classes.in_order(["b", "a", "b", "c"])
    assert classes.names == ("b", "a", "c")
    assert classes.of_image.tolist() == [0, 1, 0, 2]
    assert classes.first_image.tolist() == [0, 1, 3]


def test_top_k_counts_how_many_classes_come_before_the_true_one() -> None:
    # Cosines of the one image with six classes: 1, .8, .6, 0, -.6, -.8.
    weights = floats([[1, 0], [0.8, 0.6], [0.6, -0.8], [0, 1], [-0.6, 0.8], [-0.8, -0.6]])
    images = floats([[1, 0]] * 6)
    nearest = classify(images, np.arange(6), weights, 100.0)
    assert nearest.rank.tolist() == [0, 1, 2, 3, 4, 5]
    assert nearest.predicted.tolist() == [0] * 6
    assert nearest.score.tolist() == [1] * 6
    assert accuracy(nearest) == pytest.approx({"top1": 1 / 6, "top3": 3 / 6, "top5": 5 / 6})


def test_with_fewer_classes_than_k_every_image_is_within_the_top_k() -> None:
    nearest = classify(floats([[1, 0], [1, 0]]), np.array([0, 1]), floats([[1, 0], [0, 1]]), 100.0)
    assert accuracy(nearest) == {"top1": 0.5, "top3": 1.0, "top5": 1.0}


def test_of_two_classes_equally_near_the_first_wins() -> None:
    weights = floats([[0, 1], [1, 0], [1, 0]])
    nearest = classify(floats([[1, 0], [1, 0]]), np.array([1, 2]), weights, 100.0)
    assert nearest.predicted.tolist() == [1, 1]
    assert nearest.rank.tolist() == [0, 1]


def test_blocks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    images, weights = unit(floats(generator.normal(size=(50, 8)))), unit(floats(generator.normal(size=(7, 8))))
    truth = generator.integers(0, 7, 50)
    whole = classify(images, truth, weights, 100.0)
    monkeypatch.setattr("workflow_scripts.evaluate.zero_shot.BLOCK_VALUES", 21)
    assert classify(images, truth, weights, 100.0).rank.tolist() == whole.rank.tolist()


def test_permuted_labels_give_chance() -> None:
    generator = np.random.default_rng(1)
    truth = np.repeat(np.arange(20), 200)
    weights = np.eye(20, dtype=np.float32)
    images = weights[truth]
    assert accuracy(classify(images, truth, weights, 100.0))["top1"] == 1
    permuted = accuracy(classify(images, generator.permutation(truth), weights, 100.0))
    assert permuted["top1"] == pytest.approx(1 / 20, abs=0.02)
    assert permuted["top5"] == pytest.approx(5 / 20, abs=0.12)
