"""An open_clip directory: what `open_clip.create_model_and_transforms("local-dir:PATH")` loads."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from workflow_scripts.common.clip import CONFIG_FILE, REPLAY_PROJECTOR_FILE, REPLAY_PROJECTOR_KEY, WEIGHTS_FILE
from workflow_scripts.common.files import whole, write_json


def describe(model_cfg: Mapping[str, Any], mean: Sequence[float], std: Sequence[float]) -> dict[str, Any]:
    """The content of open_clip_config.json: the architecture, and the preprocessing that training uses."""
    return {
        "model_cfg": dict(model_cfg),
        "preprocess_cfg": {
            "size": model_cfg["vision_cfg"]["image_size"],
            "mode": "RGB",
            "mean": list(mean),
            "std": list(std),
            "interpolation": "bicubic",
            "resize_mode": "shortest",
        },
    }


def save(
    folder: Path, config: Mapping[str, Any], weights: Mapping[str, torch.Tensor], projector: torch.Tensor | None
) -> None:
    """Write an open_clip directory; its config, which readers wait for, comes last.

    Args:
        folder: where; what an earlier model left there is replaced.
        config: as `describe` gives it.
        weights: the state dict under open_clip's names.
        projector: the replay projector [P, D], or None.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG_FILE).unlink(missing_ok=True)
    save_tensors(folder / WEIGHTS_FILE, weights)
    if projector is None:
        (folder / REPLAY_PROJECTOR_FILE).unlink(missing_ok=True)
    else:
        save_tensors(folder / REPLAY_PROJECTOR_FILE, {REPLAY_PROJECTOR_KEY: projector})
    write_json(folder / CONFIG_FILE, config)


def save_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write tensors as safetensors, whole; equal tensors give equal bytes."""
    with whole(path) as temporary:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, temporary)
        # safetensors makes files that only their owner can read.
        temporary.chmod(0o644)
