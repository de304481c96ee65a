"""Resolve a run's starting weights into an open_clip directory.

In: the model's settings. Out: `open_clip_config.json` (last), `open_clip_model.safetensors`, and
`replay_projector.safetensors` where the starting weights have a second projector.
"""

import json
import logging
import tempfile
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


def start(*, model: ModelSettings, out: Path) -> None:
    """Write the starting weights as an open_clip directory.

    Args:
        model: architecture, starting weights and preprocessing, as JSON.
        out: the directory.

    Raises:
        InputError: unknown architecture, or weights that are missing, unsafe or of another architecture.
    """
    architecture = architecture_of(model)
    config = directory.describe(architecture, model)
    network = random_model(config)
    projector = None
    if model.start is None:
        logger.info("random starting weights, seed %d", SEED)
    else:
        projector = _load(network, model.start, architecture, str(model.architecture))
        logger.info(
            "starting weights from %s; replay projector: %s",
            model.start,
            "its own" if projector is not None else "none",
        )
    directory.save(out, config, network.state_dict(), projector)


def architecture_of(model: ModelSettings) -> dict[str, Any]:
    """The open_clip model config that the settings name or spell out.

    Raises:
        InputError: open_clip does not know the name, or the model is none that this trainer can train.
    """
    if isinstance(model.architecture, str):
        found = open_clip.get_model_config(model.architecture)
        if found is None:
            raise InputError(f"model.architecture: open_clip knows no model {model.architecture}")
    else:
        found = model.architecture
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


def _load(network: Any, source: str, architecture: dict[str, Any], name: str) -> torch.Tensor | None:
    if source == "pretrain":
        raise InputError("model.start: `pretrain` is resolved by the workflow; here give local-dir:PATH")
    if source.startswith(("local-dir:", "hf-hub:")):
        folder = clip.directory_of(source)
        described = json.loads((folder / clip.CONFIG_FILE).read_text(encoding="utf-8"))["model_cfg"]
        _same_activation(source, described, architecture)
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
