"""Resolve a run's starting weights into an open_clip directory.

In: the model's settings. Out: `open_clip_config.json` (last), `open_clip_model.safetensors`, and
`replay_projector.safetensors` where the starting weights have a second projector.
"""

import json
import logging
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from workflow_scripts.common import clip
from workflow_scripts.common.cli import run
from workflow_scripts.common.clip import open_clip
from workflow_scripts.common.config.train import ModelSettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import write_json
from workflow_scripts.train import directory

logger = logging.getLogger(__name__)

# Random weights are the same for every run, so that runs differ by what they were told to differ by.
SEED = 0
# What both papers train with where nothing else is said.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def start(*, model: ModelSettings, out: Path) -> None:
    """Write the starting weights as an open_clip directory.

    Args:
        model: architecture, starting weights and preprocessing, as JSON.
        out: the directory.

    Raises:
        InputError: unknown architecture, or weights that are missing, unsafe or of another architecture.
    """
    if model.start == "pretrain":
        raise InputError("model.start: `pretrain` is resolved by the workflow; here give local-dir:PATH")
    theirs = described_by(model.start)
    architecture = architecture_of(model.architecture or theirs["model_cfg"])
    mean, std = normalisation(model, theirs)
    config = directory.describe(architecture, mean, std)
    network = random_model(config)
    projector = None
    if model.start is None:
        logger.info("random starting weights, seed %d", SEED)
    else:
        if theirs:
            _same_activation(model.start, theirs["model_cfg"], architecture)
        projector = _load(network, model.start, str(model.architecture))
        logger.info(
            "starting weights from %s; replay projector: %s",
            model.start,
            "its own" if projector is not None else "none",
        )
    logger.info("images are normalised by mean %s, std %s", mean, std)
    directory.save(out, config, network.state_dict(), projector)


def described_by(source: str | None) -> dict[str, Any]:
    """What a directory of weights, here or on the hub, says of itself: `model_cfg`, `preprocess_cfg`; else nothing."""
    if source is None or not source.startswith(("local-dir:", "hf-hub:")):
        return {}
    path = clip.directory_of(source) / clip.CONFIG_FILE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {"model_cfg": dict(found["model_cfg"]), "preprocess_cfg": dict(found.get("preprocess_cfg", {}))}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not a description of an open_clip model: {error}") from None


def normalisation(model: ModelSettings, theirs: dict[str, Any]) -> tuple[Sequence[float], Sequence[float]]:
    """Mean and standard deviation of images: the settings', else the starting weights', else ImageNet's."""
    if model.mean is not None and model.std is not None:
        return model.mean, model.std
    if model.start is None:
        return IMAGENET_MEAN, IMAGENET_STD
    found = theirs["preprocess_cfg"] if theirs else open_clip.get_pretrained_cfg(str(model.architecture), model.start)
    return found.get("mean") or open_clip.OPENAI_DATASET_MEAN, found.get("std") or open_clip.OPENAI_DATASET_STD


def architecture_of(given: str | Mapping[str, Any]) -> dict[str, Any]:
    """An open_clip model config, given by its name or itself.

    Raises:
        InputError: open_clip does not know the name, or the model is none that this trainer can train.
    """
    found = open_clip.get_model_config(given) if isinstance(given, str) else dict(given)
    if found is None:
        raise InputError(f"model.architecture: open_clip knows no model {given}")
    if missing := [key for key in ("embed_dim", "vision_cfg", "text_cfg") if key not in found]:
        raise InputError(f"model.architecture: no {', '.join(missing)}")
    if foreign := [
        key for key in ("timm_model_name", "hf_model_name") if key in found["vision_cfg"] or key in found["text_cfg"]
    ]:
        raise InputError(f"model.architecture: only open_clip's own ViT CLIP can be trained, not {', '.join(foreign)}")
    # Names the image size even where the library's default would do: the preprocessing is written from it.
    return {**found, "vision_cfg": {"image_size": 224, **found["vision_cfg"]}}


def random_model(config: dict[str, Any]) -> Any:
    """The open_clip model of a config, with random weights."""
    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng(devices=[]):
        write_json(Path(folder) / clip.CONFIG_FILE, config)
        torch.manual_seed(SEED)
        try:
            network = clip.without_weights(Path(folder))
        except (TypeError, ValueError, KeyError, RuntimeError, AssertionError) as error:
            raise InputError(f"model.architecture: open_clip cannot build it: {str(error).splitlines()[0]}") from error
    if not isinstance(getattr(network.visual, "proj", None), torch.nn.Parameter):
        raise InputError("model.architecture: its visual tower has no projector, so it cannot have a second one")
    return network


def _load(network: Any, source: str, name: str) -> torch.Tensor | None:
    if source.startswith(("local-dir:", "hf-hub:")):
        folder = clip.directory_of(source)
        within = clip.load_weights(network, clip.weights_of(folder))
        beside = clip.replay_projector_of(folder)
        return within if beside is None else beside
    if Path(source).suffix:
        return clip.load_weights(network, Path(source))
    return clip.load_weights(network, clip.weights_of_tag(name, source))


def _same_activation(source: str, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    if theirs.get("quick_gelu", False) != ours.get("quick_gelu", False):
        raise InputError(f"model.start: {source} was trained with the other GELU (quick_gelu) than model.architecture")


if __name__ == "__main__":
    run(start)
