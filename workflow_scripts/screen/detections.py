"""Inputs and outputs of detectors exported to ONNX: RT-DETR and YOLO.

Shapes: N detections as boxes [N, 4] of left, top, right, bottom in pixels of the network's square, scores [N] and
classes [N]; A anchors, C classes.
"""

from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from workflow_scripts.common.images import RgbImage
from workflow_scripts.screen.boxes import Boxes, Scores, suppress

# YOLO's grey value for padding, and the lowest score of a box that it considers.
PADDING = 114
LEAST_SCORE = 0.001

Layout = Literal["rtdetr", "yolo"]


class Detections(NamedTuple):
    """Objects in one image.

    Attributes:
        boxes: [N, 4].
        scores: [N].
        classes: [N], numbers of the network's classes.
    """

    boxes: Boxes
    scores: Scores
    classes: NDArray[np.int64]

    def chosen(self, rows: NDArray[Any]) -> "Detections":
        """A subset by row numbers or by a mask."""
        return Detections(self.boxes[rows], self.scores[rows], self.classes[rows])


def letterbox(image: RgbImage, side: int) -> RgbImage:
    """Scale an image to fit a square and centre it on grey, as YOLO is trained."""
    height, width = image.shape[:2]
    scale = min(side / height, side / width)
    new_width, new_height = round(width * scale), round(height * scale)
    if (new_width, new_height) != (width, height):
        image = np.asarray(cv2.resize(image, (new_width, new_height), interpolation=cv2.INTER_LINEAR), np.uint8)
    # An odd pixel of padding goes to the right or bottom.
    left, top = round((side - new_width) / 2 - 0.1), round((side - new_height) / 2 - 0.1)
    square = np.full((side, side, 3), PADDING, np.uint8)
    square[top : top + new_height, left : left + new_width] = image
    return square


def squash(image: RgbImage, side: int) -> RgbImage:
    """Scale an image to a square as torchvision does (bilinear with antialiasing), for MTCNN and RT-DETR."""
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR))


def from_rtdetr(labels: NDArray[np.int64], boxes: Boxes, scores: Scores) -> Detections:
    """Detections from one image's `labels` [N], `boxes` [N, 4] and `scores` [N]; RT-DETR needs no suppression."""
    return Detections(boxes, scores, labels.astype(np.int64))


def from_yolo(output: NDArray[np.float32], max_overlap: float) -> Detections:
    """Detections from one image's output.

    Args:
        output: [N, 6] (box, score, class) for YOLOv10 and later; otherwise [4 + C, A] (centre, size, scores).
        max_overlap: the largest intersection over union of two boxes of one class that are both kept.
    """
    if output.shape[1] == 6:
        found = Detections(output[:, :4], output[:, 4], output[:, 5].astype(np.int64))
        sure = found.scores >= LEAST_SCORE
        return found.chosen(sure)
    scores_AC = output[4:].T
    classes, scores = scores_AC.argmax(axis=1), scores_AC.max(axis=1)
    sure = scores >= LEAST_SCORE
    centre, size = output[:2].T[sure], output[2:4].T[sure]
    found = Detections(np.concatenate([centre - size / 2, centre + size / 2], axis=1), scores[sure], classes[sure])
    kept = [
        np.flatnonzero(found.classes == one)[
            suppress(found.boxes[found.classes == one], found.scores[found.classes == one], max_overlap)
        ]
        for one in np.unique(found.classes)
    ]
    order = np.concatenate(kept) if kept else np.empty(0, np.int64)
    return found.chosen(order)
