"""Templates of the papers, and class vectors."""

from collections.abc import Sequence

import numpy as np

from workflow_scripts.common.geometry import Floats, unit
from workflow_scripts.common.prompts import TEMPLATES, class_weights


def floats(values: object) -> Floats:
    return np.array(values, dtype=np.float32)


def test_there_are_81_templates_and_the_papers_own_comes_first() -> None:
    prompts = [template("Pica hudsonia") for template in TEMPLATES]
    assert len(set(prompts)) == 81
    assert prompts[:2] == ["a photo of Pica hudsonia.", "a bad photo of a Pica hudsonia."]


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
