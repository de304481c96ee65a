"""Inputs and outputs of detectors exported to ONNX: RT-DETR, and the layouts of YOLO.

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

# What YOLO pads with, and from which score on it considers a box at all.
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
        """Those of some rows, by number or by a mask."""
        return Detections(self.boxes[rows], self.scores[rows], self.classes[rows])


def letterbox(image: RgbImage, side: int) -> RgbImage:
    """The image scaled to fit a square, in its middle, the rest grey, as YOLO is trained."""
    height, width = image.shape[:2]
    scale = min(side / height, side / width)
    new_width, new_height = round(width * scale), round(height * scale)
    if (new_width, new_height) != (width, height):
        image = np.asarray(cv2.resize(image, (new_width, new_height), interpolation=cv2.INTER_LINEAR), np.uint8)
    # The odd pixel is at the right and at the bottom.
    left, top = round((side - new_width) / 2 - 0.1), round((side - new_height) / 2 - 0.1)
    square = np.full((side, side, 3), PADDING, np.uint8)
    square[top : top + new_height, left : left + new_width] = image
    return square


def squash(image: RgbImage, side: int) -> RgbImage:
    """The image scaled to a square as torchvision does it (bilinear, areas averaged), for MTCNN and RT-DETR."""
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR))


def from_rtdetr(labels: NDArray[np.int64], boxes: Boxes, scores: Scores) -> Detections:
    """Of one image's outputs `labels` [N], `boxes` [N, 4] and `scores` [N]; RT-DETR needs no suppression."""
    return Detections(boxes, scores, labels.astype(np.int64))


def from_yolo(output: NDArray[np.float32], most_overlap: float) -> Detections:
    """Of one image's output: [N, 6] (boxes, score, class) of YOLOv10 and later; [4 + C, A] (centre, size, scores) else.

    Args:
        output: the output.
        most_overlap: of boxes of one class, the largest share in common that is not suppressed.
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
            suppress(found.boxes[found.classes == one], found.scores[found.classes == one], most_overlap)
        ]
        for one in np.unique(found.classes)
    ]
    order = np.concatenate(kept) if kept else np.empty(0, np.int64)
    return found.chosen(order)
