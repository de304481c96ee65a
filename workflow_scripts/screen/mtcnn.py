"""MTCNN, the face detector of TreeOfLife-200M (Zhang et al. 2016), with the weights of facenet-pytorch (MIT).

facenet-pytorch requires a torch of 2024, so its three small networks are implemented here, and only its weights are
read. Shapes: B images of one size, N boxes of [left, top, right, bottom], in pixels.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from workflow_scripts.common.errors import InputError, first_line
from workflow_scripts.common.files import digest, sha256_file
from workflow_scripts.screen.boxes import Boxes, Scores, suppress

PACKAGE = "facenet_pytorch"
NETWORKS = ("pnet", "rnet", "onet")
# The pyramid of scales, as in the package.
SMALLEST_FACE = 20
FACTOR = 0.709
CELL, STRIDE = 12, 2
# Largest overlaps: within a scale; over all scales and after the second network; after the third.
WITHIN_SCALE, OVER_SCALES, AT_END = 0.5, 0.7, 0.7
# Crops per forward pass.
CROPS_AT_ONCE = 512

Weights = Mapping[str, torch.Tensor]
Network = Callable[[Weights, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True)
class Refinement:
    """The second or third network, which refines boxes.

    Attributes:
        network: the network.
        weights: its weights.
        threshold: boxes with a higher score are kept.
        side: side of its square input, pixels.
        is_last: whether it is the third network.
    """

    network: Network
    weights: Weights
    threshold: float
    side: int
    is_last: bool


class Mtcnn:
    """The face detector.

    Attributes:
        key: digest of the weights.
    """

    def __init__(self, folder: Path | None, thresholds: Sequence[float], device: torch.device) -> None:
        """Load the weights.

        Args:
            folder: folder with `pnet.pt`, `rnet.pt` and `onet.pt`. None: that of the installed facenet-pytorch.
            thresholds: the lowest score to keep after each of the three networks.
            device: the device to run on.

        Raises:
            InputError: the weights are missing or not MTCNN's.
        """
        folder = folder or _package_weights()
        self._thresholds = tuple(thresholds)
        self._device = device
        self._weights = [_load(folder / f"{name}.pt", device) for name in NETWORKS]
        self.key = digest({name: sha256_file(folder / f"{name}.pt") for name in NETWORKS})

    @torch.inference_mode()
    def detect(self, images: Sequence[np.ndarray]) -> list[tuple[Boxes, Scores]]:
        """Detect faces in images of one size (uint8, RGB [H, W, 3]); return the boxes and scores of each image."""
        pixels = torch.from_numpy(np.stack(images)).to(self._device).permute(0, 3, 1, 2).float()
        found = self._propose(pixels)
        for stage in (
            Refinement(_rnet, self._weights[1], self._thresholds[1], 24, is_last=False),
            Refinement(_onet, self._weights[2], self._thresholds[2], 48, is_last=True),
        ):
            found = _refine(pixels, found, stage)
        return found

    def _propose(self, pixels: torch.Tensor) -> list[tuple[Boxes, Scores]]:
        """Squares proposed by the first network, over a pyramid of scales."""
        height, width = pixels.shape[2:]
        scale = CELL / SMALLEST_FACE
        found: list[list[np.ndarray]] = [[] for _ in pixels]
        while min(height, width) * scale >= CELL:
            resized = F.interpolate(pixels, (int(height * scale + 1), int(width * scale + 1)), mode="area")
            offsets, probabilities = _pnet(self._weights[0], _normalised(resized))
            for place, (of_image, sure) in enumerate(zip(offsets, probabilities[:, 1], strict=True)):
                mask = sure >= self._thresholds[0]
                if not mask.any():
                    continue
                cells = mask.nonzero().flip(1).float()
                corners = torch.cat(
                    [((STRIDE * cells + 1) / scale).floor(), ((STRIDE * cells + CELL) / scale).floor()], dim=1
                )
                rows = torch.cat([corners, sure[mask][:, None], of_image[:, mask].T], dim=1).cpu().numpy()
                found[place].append(rows[suppress(rows[:, :4], rows[:, 4], WITHIN_SCALE)])
            scale *= FACTOR
        return [_squares_of(np.concatenate(rows)) if rows else _nothing() for rows in found]


def _refine(
    pixels: torch.Tensor, found: Sequence[tuple[Boxes, Scores]], stage: Refinement
) -> list[tuple[Boxes, Scores]]:
    """Score each box with a network; return the boxes that it keeps, refined."""
    crops, kept = [], []
    for image, (boxes, _) in zip(pixels, found, strict=True):
        good = []
        for place, (left, top, right, bottom) in enumerate(boxes.astype(np.int64)):
            crop = image[:, max(top, 1) - 1 : max(bottom, 0), max(left, 1) - 1 : max(right, 0)]
            if 0 not in crop.shape:
                crops.append(F.interpolate(crop[None], (stage.side, stage.side), mode="area"))
                good.append(place)
        kept.append(boxes[good])
    if not crops:
        return [_nothing() for _ in found]
    answers = [
        stage.network(stage.weights, _normalised(torch.cat(crops[start : start + CROPS_AT_ONCE])))
        for start in range(0, len(crops), CROPS_AT_ONCE)
    ]
    offsets_N4 = torch.cat([offsets for offsets, _ in answers]).cpu().numpy()
    scores_N = torch.cat([probabilities[:, 1] for _, probabilities in answers]).cpu().numpy()
    refined, start = [], 0
    for boxes in kept:
        own = slice(start, start + len(boxes))
        sure = scores_N[own] > stage.threshold
        refined.append(_reduced(boxes[sure], scores_N[own][sure], offsets_N4[own][sure], is_last=stage.is_last))
        start += len(boxes)
    return refined


def _package_weights() -> Path:
    found = find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise InputError(
            "the judge `faces` needs the weights of facenet-pytorch: .venv/bin/pip install --no-deps --requirement "
            "envs/faces.lock, or set `weights` to a folder with pnet.pt, rnet.pt and onet.pt"
        )
    return Path(found.submodule_search_locations[0]) / "data"


def _load(path: Path, device: torch.device) -> Weights:
    try:
        return dict(torch.load(path, map_location=device, weights_only=True))
    except Exception as error:
        raise InputError(f"{path}: cannot be read as MTCNN weights: {first_line(error)}") from None


def _nothing() -> tuple[Boxes, Scores]:
    return np.empty((0, 4), np.float32), np.empty(0, np.float32)


def _squares_of(rows: np.ndarray) -> tuple[Boxes, Scores]:
    """Squares around the boxes of all scales. `rows`: corners, score and offsets."""
    rows = rows[suppress(rows[:, :4], rows[:, 4], OVER_SCALES)]
    size_N2 = rows[:, 2:4] - rows[:, :2]
    corners = rows[:, :4] + rows[:, 5:9] * np.tile(size_N2, 2)
    return _square(corners), rows[:, 4]


def _reduced(boxes: Boxes, scores: Scores, offsets: np.ndarray, *, is_last: bool) -> tuple[Boxes, Scores]:
    size_N2 = boxes[:, 2:4] - boxes[:, :2] + 1
    moved = boxes + offsets * np.tile(size_N2, 2)
    if is_last:
        stay = suppress(moved, scores, AT_END, over="smaller", edge=1.0)
        return moved[stay], scores[stay]
    stay = suppress(boxes, scores, OVER_SCALES)
    return _square(moved[stay]), scores[stay]


def _square(boxes: Boxes) -> Boxes:
    size_N2 = boxes[:, 2:4] - boxes[:, :2]
    side_N1 = size_N2.max(axis=1, keepdims=True, initial=0)
    corner_N2 = boxes[:, :2] + (size_N2 - side_N1) / 2
    return np.concatenate([corner_N2, corner_N2 + side_N1], axis=1).astype(np.float32)


def _normalised(pixels: torch.Tensor) -> torch.Tensor:
    return (pixels - 127.5) / 128


def _conv(weights: Weights, number: int, pixels: torch.Tensor) -> torch.Tensor:
    pixels = F.conv2d(pixels, weights[f"conv{number}.weight"], weights[f"conv{number}.bias"])
    return F.prelu(pixels, weights[f"prelu{number}.weight"])


def _pool(pixels: torch.Tensor, size: int) -> torch.Tensor:
    return F.max_pool2d(pixels, size, 2, ceil_mode=True)


def _dense(weights: Weights, name: str, values: torch.Tensor) -> torch.Tensor:
    return F.linear(values, weights[f"{name}.weight"], weights[f"{name}.bias"])


def _flat(pixels: torch.Tensor) -> torch.Tensor:
    return pixels.permute(0, 3, 2, 1).flatten(1)


def _pnet(weights: Weights, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    pixels = _conv(weights, 3, _conv(weights, 2, _pool(_conv(weights, 1, pixels), 2)))
    probabilities, offsets = (
        F.conv2d(pixels, weights[f"conv4_{head}.weight"], weights[f"conv4_{head}.bias"]) for head in (1, 2)
    )
    return offsets, probabilities.softmax(dim=1)


def _rnet(weights: Weights, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    pixels = _pool(_conv(weights, 2, _pool(_conv(weights, 1, pixels), 3)), 3)
    values = F.prelu(_dense(weights, "dense4", _flat(_conv(weights, 3, pixels))), weights["prelu4.weight"])
    return _dense(weights, "dense5_2", values), _dense(weights, "dense5_1", values).softmax(dim=1)


def _onet(weights: Weights, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    pixels = _pool(_conv(weights, 3, _pool(_conv(weights, 2, _pool(_conv(weights, 1, pixels), 3)), 3)), 2)
    values = F.prelu(_dense(weights, "dense5", _flat(_conv(weights, 4, pixels))), weights["prelu5.weight"])
    return _dense(weights, "dense6_2", values), _dense(weights, "dense6_1", values).softmax(dim=1)
