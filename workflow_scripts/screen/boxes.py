"""Non-maximum suppression. Boxes are [N, 4] of left, top, right, bottom in pixels."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float32]
Scores = NDArray[np.float32]


def suppress(
    boxes_N4: Boxes,
    scores_N: Scores,
    max_overlap: float,
    over: Literal["union", "smaller"] = "union",
    edge: float = 0.0,
) -> NDArray[np.int64]:
    """Greedy non-maximum suppression: the indices of the boxes to keep, highest score first.

    Args:
        boxes_N4: the boxes.
        scores_N: their scores; of equal scores, the first box is kept.
        max_overlap: the largest overlap with a box of a higher score at which a box is kept.
        over: the divisor of the intersection: the area of the union, or of the smaller box.
        edge: pixels to add to the length of a side: 1 if the last pixel is part of the box.
    """
    left, top, right, bottom = boxes_N4.T
    area_N = (right - left + edge) * (bottom - top + edge)
    order = np.argsort(-scores_N, kind="stable")
    kept: list[int] = []
    while order.size:
        best, others = order[0], order[1:]
        kept.append(int(best))
        width = np.minimum(right[best], right[others]) - np.maximum(left[best], left[others]) + edge
        height = np.minimum(bottom[best], bottom[others]) - np.maximum(top[best], top[others]) + edge
        shared = np.maximum(width, 0) * np.maximum(height, 0)
        divisor = np.minimum(area_N[best], area_N[others])
        if over == "union":
            divisor = area_N[best] + area_N[others] - shared
        order = others[shared <= max_overlap * divisor]
    return np.array(kept, np.int64)
