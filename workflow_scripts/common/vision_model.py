"""timm image models for embedding: pooled features, no text tower.

Import this module through `common.clip`, which first makes torchvision importable.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_model_data_config

from workflow_scripts.common.errors import InputError

CONFIG_FILE = "config.json"


class VisionModel(torch.nn.Module):
    """A timm model without its classifier.

    Attributes:
        visual: the model; images [N, 3, H, W] -> pooled features [N, D] (for DINOv2, the class token).
        data: preprocessing of its images: input_size, interpolation, mean, std, crop_pct, crop_mode.
    """

    def __init__(self, visual: Any) -> None:
        super().__init__()
        self.visual = visual
        self.data: dict[str, Any] = resolve_model_data_config(visual)

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        """Features [N, D], not normalised."""
        features: torch.Tensor = self.visual(images)
        return features

    def transform(self) -> Callable[[Image.Image], torch.Tensor]:
        """The preprocessing for evaluation."""
        transform: Callable[[Image.Image], torch.Tensor] = create_transform(**self.data, is_training=False)
        return transform


def load_vision_model(folder: Path) -> VisionModel:
    """Load a model from a timm directory (`config.json` with `architecture`, and weights).

    Raises:
        InputError: the folder is not a timm directory.
    """
    config = folder / CONFIG_FILE
    if not config.is_file():
        raise InputError(f"{folder}: not a timm directory: no {CONFIG_FILE}")
    if "architecture" not in json.loads(config.read_text(encoding="utf-8")):
        raise InputError(f"{config}: not the config of a timm model: no architecture")
    return VisionModel(timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=0))
