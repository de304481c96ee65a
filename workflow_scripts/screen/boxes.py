"""Boxes of detections: overlap and suppression. Boxes are [N, 4] of left, top, right, bottom in pixels."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float32]
Scores = NDArray[np.float32]


def suppress(
    boxes_N4: Boxes, scores_N: Scores, most: float, over: Literal["union", "smaller"] = "union", edge: float = 0.0
) -> NDArray[np.int64]:
    """Greedy suppression: which boxes stay, the surest first.

    Args:
        boxes_N4: the boxes.
        scores_N: how sure each is; of equals the first stays.
        most: the largest overlap with a surer box that stays.
        over: what the intersection is divided by: the union of both, or the smaller of them.
        edge: what is added to a side's length: 1 where the last pixel is part of the box.
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
        whole = np.minimum(area_N[best], area_N[others])
        if over == "union":
            whole = area_N[best] + area_N[others] - shared
        order = others[shared <= most * whole]
    return np.array(kept, np.int64)
