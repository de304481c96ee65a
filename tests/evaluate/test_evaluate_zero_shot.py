"""Zero-shot scores that can be worked out on paper."""

from collections.abc import Sequence

import numpy as np
import pytest

from workflow_scripts.evaluate.classes import Classes
from workflow_scripts.evaluate.geometry import Floats, unit
from workflow_scripts.evaluate.zero_shot import TEMPLATES, Nearest, class_weights, classify


def floats(values: object) -> Floats:
    return np.array(values, dtype=np.float32)


def accuracy(nearest: Nearest, classes: int) -> dict[str, float]:
    return {top: float(np.mean(right)) for top, right in nearest.right(classes).items()}


def test_there_are_81_templates_and_the_papers_own_comes_first() -> None:
    prompts = [template("Pica hudsonia") for template in TEMPLATES]
    assert len(set(prompts)) == 81
    assert prompts[:2] == ["a photo of Pica hudsonia.", "a bad photo of a Pica hudsonia."]


def test_classes_are_numbered_by_first_appearance() -> None:
    classes = Classes.in_order(["b", "a", "b", "c"])
    assert classes.names == ("b", "a", "c")
    assert classes.of_image.tolist() == [0, 1, 0, 2]
    assert classes.first_image.tolist() == [0, 1, 3]


def test_class_weights_are_the_normalised_mean_of_the_prompts_features() -> None:
    vectors = {"x a": [1, 0], "y a": [0, 1], "x b": [0, -1], "y b": [0, -1]}

    def encode(texts: Sequence[str]) -> Floats:
        return floats([vectors[text] for text in texts])

    weights = class_weights(["a", "b"], [lambda name: f"x {name}", lambda name: f"y {name}"], encode)
    np.testing.assert_allclose(weights, [[0.5**0.5, 0.5**0.5], [0, -1]], rtol=1e-6)


def test_prompts_of_many_classes_are_encoded_together() -> None:
    calls = []

    def encode(texts: Sequence[str]) -> Floats:
        calls.append(len(texts))
        return unit(floats([[len(text), 1] for text in texts]))

    class_weights([f"class {number}" for number in range(300)], TEMPLATES, encode)
    assert sum(calls) == 300 * 81
    assert len(calls) == 2


def test_top_k_counts_how_many_classes_come_before_the_true_one() -> None:
    # Cosines of the one image with six classes: 1, .8, .6, 0, -.6, -.8.
    weights = floats([[1, 0], [0.8, 0.6], [0.6, -0.8], [0, 1], [-0.6, 0.8], [-0.8, -0.6]])
    images = floats([[1, 0]] * 6)
    nearest = classify(images, np.arange(6), weights, 100.0)
    assert nearest.rank.tolist() == [0, 1, 2, 3, 4, 5]
    assert nearest.predicted.tolist() == [0] * 6
    assert nearest.score.tolist() == [1] * 6
    assert accuracy(nearest, 6) == pytest.approx({"top1": 1 / 6, "top3": 3 / 6, "top5": 5 / 6})


def test_with_fewer_classes_than_k_every_image_is_within_the_top_k() -> None:
    nearest = classify(floats([[1, 0], [1, 0]]), np.array([0, 1]), floats([[1, 0], [0, 1]]), 100.0)
    assert accuracy(nearest, 2) == {"top1": 0.5, "top3": 1.0, "top5": 1.0}


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
    assert accuracy(classify(images, truth, weights, 100.0), 20)["top1"] == 1
    permuted = accuracy(classify(images, generator.permutation(truth), weights, 100.0), 20)
    assert permuted["top1"] == pytest.approx(1 / 20, abs=0.02)
    assert permuted["top5"] == pytest.approx(5 / 20, abs=0.12)
