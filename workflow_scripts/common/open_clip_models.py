"""Read open_clip models from any source, and write them as directories that open_clip can load.

Shapes: P pooled dimensions, D embedding dimensions.
"""

import json
import logging
import pickle
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from workflow_scripts.common.config.model_source import ModelSource, check_trainable
from workflow_scripts.common.errors import InputError, first_line
from workflow_scripts.common.files import atomic, write_json
from workflow_scripts.common.hub import hub_errors
from workflow_scripts.common.model_files import CONFIG_FILE, REPLAY_PROJECTOR_FILE, WEIGHTS_FILE
from workflow_scripts.common.open_clip_import import import_open_clip
from workflow_scripts.common.open_clip_names import check_model_config, model_config, pretrained_config

logger = logging.getLogger(__name__)

REPLAY_PROJECTOR_KEY = "replay_projector"
# Name of the second projector in checkpoints of BioCLIP 2's code, within the visual tower.
PUBLISHED_REPLAY_PROJECTOR = "continual_proj"
# BioCAP's second projector, for captions that describe images.
CAPTION_PROJECTOR = "visual.caption_proj"

# timm's weights in order of preference; pickles are read with weights_only.
TIMM_WEIGHTS = ("model.safetensors", "pytorch_model.bin")

# Random weights are the same for every run, so that runs differ only in their settings.
SEED = 0
# Default normalisation, as in both papers.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Weights = Mapping[str, torch.Tensor]
Tokenizer = Callable[[Sequence[str]], torch.Tensor]


open_clip: Any = import_open_clip()


@dataclass(frozen=True)
class ReadModel:
    """An open_clip model with its weights, fp32 on the CPU.

    Attributes:
        network: open_clip's model.
        config: contents of `CONFIG_FILE`: `model_cfg` and `preprocess_cfg`.
        replay_projector: BioCLIP 2's second visual projector [P, D], if the weights have one.
        tokenizer: texts -> token ids [N, context_length].
    """

    network: Any
    config: Mapping[str, Any]
    replay_projector: torch.Tensor | None
    tokenizer: Any


def read_model(source: ModelSource, *, trainable: bool = False) -> ReadModel:
    """Read a model with a text tower from its source, downloading it if necessary.

    Args:
        source: source of the weights.
        trainable: refuse models that the trainer cannot train.

    Raises:
        InputError: the weights could not be fetched, are unsafe, do not match the architecture, or have no
            normalisation; or the model cannot be trained.
    """
    if source.kind in ("run", "pretrain"):
        raise InputError(f"{source}: only the workflow can resolve this source; use local-dir:PATH")
    folder = directory_of(source) if source.kind in ("folder", "hub") else None
    own_config = _directory_config(folder) if folder else {}
    config = _config(source, own_config)
    if trainable:
        try:
            check_trainable(config["model_cfg"])
        except ValueError as error:
            raise InputError(f"{source}: {error}") from None
    # Built first, so that missing packages are reported before gigabytes are downloaded.
    tokenizer = _tokenizer(source, config, folder)
    network = build(config)
    if trainable and not isinstance(getattr(network.visual, "proj", None), torch.nn.Parameter):
        raise InputError(f"{source}: its visual tower has no projector, so that a second one cannot be added")
    projector = None
    if folder is not None:
        within, beside = load_weights(network, weights_of(folder)), replay_projector_of(folder)
        projector = within if beside is None else beside
    elif source.kind == "tag":
        projector = load_weights(network, _weights_of_tag(str(source.given_architecture), source.place))
    elif source.kind == "file":
        projector = load_weights(network, Path(source.place))
    return ReadModel(network, config, projector, tokenizer)


def directory_of(source: ModelSource) -> Path:
    """The folder of a `folder` source, or the local copy of a `hub` source, which is downloaded if necessary.

    With `HF_HUB_OFFLINE=1` the copy must exist.

    Raises:
        InputError: the folder does not exist, or the model could not be fetched.
    """
    with as_input_error(source):
        if source.kind == "folder":
            folder = Path(source.place)
        else:
            # Imported here because only models from the hub need it.
            from huggingface_hub import snapshot_download

            name, _, commit = source.place.partition("@")
            wanted = [source.config_name, *TIMM_WEIGHTS]
            with hub_errors(f"{source}: could not be fetched"):
                if source.has_text:
                    # Fetches the weights file that open_clip prefers.
                    open_clip.pretrained.download_pretrained_from_hf(name, revision=commit)
                    wanted = ["*.json", "*.txt", "*.model", REPLAY_PROJECTOR_FILE]
                folder = Path(snapshot_download(name, revision=commit, allow_patterns=wanted))
        if not (folder / source.config_name).is_file():
            kind = "an open_clip" if source.has_text else "a timm"
            raise InputError(f"{folder}: not {kind} directory: no {source.config_name}")
        return folder


def build(config: Mapping[str, Any]) -> Any:
    """Build the open_clip model of a config, with reproducible random weights.

    Raises:
        InputError: open_clip cannot build it.
    """
    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng(devices=[]):
        write_json(Path(folder) / CONFIG_FILE, config)
        torch.manual_seed(SEED)
        try:
            return _without_weights(Path(folder))
        except (TypeError, ValueError, KeyError, RuntimeError, AssertionError, ArithmeticError) as error:
            raise InputError(f"architecture: open_clip cannot build it: {first_line(error)}") from error


def load_weights(model: Any, path: Path) -> torch.Tensor | None:
    """Load a checkpoint file (safetensors, or a pickle of only tensors) into an open_clip model.

    Returns:
        BioCLIP 2's replay projector [P, D] if the checkpoint has one. It is not kept in the model.

    Raises:
        InputError: the weights do not match the model, or cannot be read safely.
    """
    with as_input_error(path):
        if not path.is_file():
            raise InputError(f"{path}: missing")
        # open_clip's loader, which converts older layouts, needs a parameter for every tensor in the file.
        proj = getattr(model.visual, "proj", None)
        if proj is not None:
            model.visual.register_parameter(PUBLISHED_REPLAY_PROJECTOR, torch.nn.Parameter(torch.zeros_like(proj)))
        found = open_clip.load_checkpoint(model, str(path), strict=False, weights_only=True)
        second = model.visual._parameters.pop(PUBLISHED_REPLAY_PROJECTOR, None)
        name = f"visual.{PUBLISHED_REPLAY_PROJECTOR}"
        missing, unexpected = [key for key in found.missing_keys if key != name], found.unexpected_keys
        if missing or unexpected:
            raise InputError(
                f"{path}: not the weights of this model: {len(missing)} tensors missing ({', '.join(missing[:3])}), "
                f"{len(unexpected)} unknown ({', '.join(unexpected[:3])})"
                + ("; BioCAP's projector for captions is not supported" if CAPTION_PROJECTOR in unexpected else "")
            )
        return None if second is None or name in found.missing_keys else second.detach()


def weights_of(folder: Path) -> Path:
    """Path of the weights file of an open_clip directory.

    Raises:
        InputError: the directory has none.
    """
    found = open_clip.factory._find_checkpoint_in_dir(folder)
    if found is None:
        raise InputError(f"{folder}: no weights beside {CONFIG_FILE}")
    return Path(found)


def replay_projector_of(folder: Path) -> torch.Tensor | None:
    """The replay projector [P, D] beside a model's weights; None if the file does not exist.

    Raises:
        InputError: the file cannot be read.
    """
    path = folder / REPLAY_PROJECTOR_FILE
    with as_input_error(path):
        return load_file(path)[REPLAY_PROJECTOR_KEY] if path.is_file() else None


def save_model(
    folder: Path, config: Mapping[str, Any], weights: Weights, projector: torch.Tensor | None, tokenizer: Any = None
) -> None:
    """Write an open_clip directory, with its config, which readers wait for, last.

    Args:
        folder: the directory; an earlier model in it is replaced.
        config: `model_cfg` and `preprocess_cfg`.
        weights: the state dict, with open_clip's names.
        projector: the replay projector [P, D], or None.
        tokenizer: the model's tokenizer, if it has files of its own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG_FILE).unlink(missing_ok=True)
    if hasattr(tokenizer, "save_pretrained"):
        tokenizer.save_pretrained(folder)
    save_tensors(folder / WEIGHTS_FILE, weights)
    if projector is None:
        (folder / REPLAY_PROJECTOR_FILE).unlink(missing_ok=True)
    else:
        save_tensors(folder / REPLAY_PROJECTOR_FILE, {REPLAY_PROJECTOR_KEY: projector})
    write_json(folder / CONFIG_FILE, config)


def save_tensors(path: Path, tensors: Weights, metadata: dict[str, str] | None = None) -> None:
    """Write tensors as safetensors, atomically; equal tensors give equal bytes."""
    with atomic(path) as temporary:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, temporary, metadata)
        # safetensors creates files that only their owner can read.
        temporary.chmod(0o644)


def _directory_config(folder: Path) -> dict[str, Any]:
    """`model_cfg` and `preprocess_cfg` of an open_clip directory."""
    path = folder / CONFIG_FILE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {"model_cfg": dict(found["model_cfg"]), "preprocess_cfg": dict(found.get("preprocess_cfg", {}))}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not the config of an open_clip model: {error}") from None


def _config(source: ModelSource, own: Mapping[str, Any]) -> dict[str, Any]:
    """`model_cfg` and `preprocess_cfg`: as given for the source, else those of its own directory."""
    given = source.given_architecture
    model_cfg = (model_config(given) if isinstance(given, str) else given) or own["model_cfg"]
    try:
        check_model_config(model_cfg)
    except ValueError as error:
        raise InputError(f"{source}: {error}") from None
    # The image size is always written, because the preprocessing is derived from it.
    model_cfg = {**model_cfg, "vision_cfg": {"image_size": 224, **model_cfg["vision_cfg"]}}
    uses_quick_gelu = own and own["model_cfg"].get("quick_gelu", False)
    if own and uses_quick_gelu != model_cfg.get("quick_gelu", False):
        use, other = ("use", "with") if uses_quick_gelu else ("do not use", "without")
        raise InputError(
            f"{source}: these weights {use} QuickGELU; set an architecture {other} quick_gelu instead of {given}"
        )
    defaults = own.get("preprocess_cfg", {})
    if source.kind == "tag":
        defaults = pretrained_config(str(given), source.place)
    mean, std = source.mean or defaults.get("mean"), source.std or defaults.get("std")
    if source.kind == "random":
        mean, std = mean or IMAGENET_MEAN, std or IMAGENET_STD
    if not mean or not std:
        raise InputError(f"{source}: the normalisation of its images is unknown; give mean and std")
    logger.info("%s: images are normalised with mean %s, std %s", source, mean, std)
    preprocess_cfg = {
        "size": model_cfg["vision_cfg"]["image_size"],
        "mode": "RGB",
        "mean": list(mean),
        "std": list(std),
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    }
    further = ("interpolation", "resize_mode", "fill_color")
    return {
        "model_cfg": model_cfg,
        "preprocess_cfg": preprocess_cfg | {k: defaults[k] for k in further if k in defaults},
    }


def _without_weights(folder: Path) -> Any:
    # Suppresses open_clip's warning that no weights were loaded.
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        return open_clip.create_model(f"local-dir:{folder}", load_weights=False, pretrained_text=False)
    finally:
        logging.disable(level)


def _weights_of_tag(name: str, tag: str) -> Path:
    """Path of the weights file of a pretrained tag, which is downloaded if necessary."""
    with hub_errors(f"{name}:{tag}: could not be fetched"):
        return Path(open_clip.download_pretrained(open_clip.get_pretrained_cfg(name, tag)))


def _tokenizer(source: ModelSource, config: Mapping[str, Any], folder: Path | None) -> Any:
    given = source.given_architecture
    if folder is not None and given is None:
        return tokenizer_of(f"local-dir:{folder}")
    if isinstance(given, str):
        return tokenizer_of(given)
    with tempfile.TemporaryDirectory() as described:
        write_json(Path(described) / CONFIG_FILE, config)
        return tokenizer_of(f"local-dir:{described}")


def tokenizer_of(model: str) -> Any:
    """The tokenizer of `local-dir:PATH` or of an open_clip architecture.

    Raises:
        InputError: the tokenizer could not be loaded, or needs a package that is not installed.
    """
    with as_input_error(model):
        try:
            return open_clip.get_tokenizer(model)
        except ModuleNotFoundError as error:
            # Other tokenizers than CLIP's (such as SigLIP's) need a package that is otherwise unused.
            raise InputError(
                f"{model}: its tokenizer needs {error.name}; install it with .venv/bin/pip install {error.name}"
            ) from None


@contextmanager
def as_input_error(source: object) -> Iterator[None]:
    """Turn a library's error about a missing or broken model into one line."""
    try:
        yield
    except (OSError, RuntimeError, ValueError, KeyError, SafetensorError, pickle.UnpicklingError) as error:
        first = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise InputError(f"{source}: cannot be loaded as a model: {first}") from error
