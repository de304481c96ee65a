"""Class indices of images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Classes:
    """Classes in order of first appearance, and the class of each image.

    The published code numbers classes by a column `class_idx` if there is one; scores do not depend on the numbers.

    Attributes:
        names: the class names [C].
        of_image: the index into `names` of each image [N], int64.
        first_image: the index of each class's first image [C], int64.
    """

    names: tuple[str, ...]
    of_image: NDArray[np.int64]
    first_image: NDArray[np.int64]

    @classmethod
    def in_order(cls, names: Sequence[str]) -> "Classes":
        """Number the classes of images, given the class name of each image [N]."""
        first: dict[str, int] = {}
        for index, name in enumerate(names):
            first.setdefault(name, index)
        number_of = {name: number for number, name in enumerate(first)}
        return cls(
            names=tuple(first),
            of_image=np.array([number_of[name] for name in names], dtype=np.int64),
            first_image=np.array(list(first.values()), dtype=np.int64),
        )
