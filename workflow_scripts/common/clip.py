"""A CLIP model by open_clip: where it comes from, how images and texts go in, and BioCLIP 2's second projector.

Shapes: N items, H x W pixels, D embedding dimensions, P pooled dimensions.
"""

import importlib
import logging
import pickle
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file

from workflow_scripts.common.errors import InputError

logger = logging.getLogger(__name__)

CONFIG_FILE = "open_clip_config.json"
WEIGHTS_FILE = "open_clip_model.safetensors"
REPLAY_PROJECTOR_FILE = "replay_projector.safetensors"
REPLAY_PROJECTOR_KEY = "replay_projector"
# The second projector's name in checkpoints of BioCLIP 2's code, below the visual tower.
PUBLISHED_REPLAY_PROJECTOR = "continual_proj"

TIMM_FOLDER = "timm:local-dir:"

Projector = Literal["proj", "replay"]


def _import_open_clip() -> ModuleType:
    """Import open_clip, also where torchvision was built for another kind of torch.

    Such a torchvision fails on import because its operators were never declared. CLIP uses none of them, so declaring
    their schemas is enough. With matching builds nothing is declared.
    """
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        logger.info("torchvision does not match this torch (%s); its operators are declared without code", error)
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        for operator in ("nms", "qnms"):
            torch.library.define(
                f"torchvision::{operator}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            )
    return importlib.import_module("open_clip")


open_clip: Any = _import_open_clip()
# timm imports torchvision itself, which may have to be mended first.
from workflow_scripts.common.vision_model import VisionModel, load_vision_model  # noqa: E402


@dataclass(frozen=True)
class Clip:
    """A model ready to embed, with what its images and texts must look like.

    Attributes:
        model: open_clip's model, or timm's without a text tower, in evaluation mode.
        tokenizer: texts -> token ids [N, context_length]; an InputError where the model has no text tower.
        image_size: side of the square image, pixels.
        mean: of the images, RGB, in [0, 1].
        std: of the images, RGB, in [0, 1].
        context_length: tokens a text; 0 without a text tower.
        replay_projector: [P, D], BioCLIP 2's projector for replay images, where the model has one.
    """

    model: Any
    tokenizer: Callable[[Sequence[str]], torch.Tensor]
    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    context_length: int
    replay_projector: torch.Tensor | None

    @property
    def has_text(self) -> bool:
        """Whether texts can be encoded."""
        return not isinstance(self.model, VisionModel)


def load(source: str, device: str | torch.device = "cpu") -> Clip:
    """Load a model in evaluation mode and fp32.

    Args:
        source: `local-dir:PATH` (an open_clip directory), `hf-hub:NAME` or `hf-hub:NAME@REVISION`,
            `NAME:PRETRAINED` (an open_clip model and one of its pretrained tags), or `timm:local-dir:PATH`.
        device: where it will run.

    Raises:
        InputError: the source is missing, is not a model, or its weights do not fit its config.
    """
    with _as_input_error(source):
        if source.startswith(TIMM_FOLDER):
            return _without_text(load_vision_model(Path(source.removeprefix(TIMM_FOLDER))), device)
        if source.startswith(("local-dir:", "hf-hub:")):
            model, tokenizer, projector = _from_directory(directory_of(source))
        else:
            model, tokenizer, projector = *_from_tag(source), None
    config = open_clip.get_model_preprocess_cfg(model)
    size = config["size"]
    return Clip(
        model=model.to(device).eval(),
        tokenizer=tokenizer,
        image_size=size if isinstance(size, int) else size[0],
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        context_length=tokenizer.context_length,
        replay_projector=None if projector is None else projector.to(device),
    )


def preprocess(clip: Clip) -> Callable[[Image.Image], torch.Tensor]:
    """What evaluation does to an image: resize the shorter side (bicubic), crop the centre, normalise.

    Returns:
        A function from a PIL image to a float tensor [3, image_size, image_size].
    """
    if not clip.has_text:
        transform: Callable[[Image.Image], torch.Tensor] = clip.model.transform()
        return transform
    config = open_clip.transform.PreprocessCfg(**open_clip.get_model_preprocess_cfg(clip.model))
    return open_clip.transform.image_transform_v2(config, is_train=False)


def preprocessing(clip: Clip) -> dict[str, Any]:
    """What `preprocess` does, as settings that can be compared."""
    settings: dict[str, Any] = open_clip.get_model_preprocess_cfg(clip.model) if clip.has_text else clip.model.data
    return settings


@torch.inference_mode()
def encode_image(clip: Clip, images: torch.Tensor, projector: Projector = "proj") -> torch.Tensor:
    """Image features [N, D], not normalised.

    Args:
        clip: the model.
        images: uint8 [N, H, W, 3] at the model's size, or float [N, 3, H, W] as `preprocess` gives them.
        projector: `replay` takes BioCLIP 2's second projector instead of the first.

    Raises:
        InputError: the model has no replay projector.
    """
    device = next(clip.model.parameters()).device
    pixels = images.to(device)
    if pixels.dtype == torch.uint8:
        pixels = normalised(pixels, clip.mean, clip.std)
    if projector == "proj":
        return clip.model.encode_image(pixels)
    if clip.replay_projector is None:
        raise InputError(f"this model has no {REPLAY_PROJECTOR_FILE}; embed with the first projector")
    return torch.func.functional_call(clip.model.visual, {"proj": clip.replay_projector}, (pixels,))


@torch.inference_mode()
def encode_text(clip: Clip, texts: Sequence[str]) -> torch.Tensor:
    """Text features [N, D], not normalised; the caller chooses how many texts go in at once.

    Raises:
        InputError: the model has no text tower.
    """
    device = next(clip.model.parameters()).device
    tokens = clip.tokenizer(list(texts)).to(device)
    return clip.model.encode_text(tokens)


def normalised(images: torch.Tensor, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """uint8 [N, H, W, 3] -> float [N, 3, H, W] with mean 0 and deviation 1, on the images' device."""
    scale = torch.tensor([1 / (255 * value) for value in std], device=images.device)
    shift = torch.tensor([m / s for m, s in zip(mean, std, strict=True)], device=images.device)
    return (images * scale - shift).permute(0, 3, 1, 2).contiguous()


def without_weights(folder: Path) -> Any:
    """The open_clip model that a directory's config describes, its weights random."""
    # The library warns that nothing was loaded, which is what was asked for.
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        return open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    finally:
        logging.disable(level)


def load_weights(model: Any, path: Path) -> torch.Tensor | None:
    """Load a checkpoint file (safetensors, or a pickle of tensors alone) into an open_clip model.

    Returns:
        BioCLIP 2's replay projector [P, D] when the checkpoint has one. The model itself does not keep it.

    Raises:
        InputError: the weights do not fit the model, or cannot be read safely.
    """
    with _as_input_error(str(path)):
        if not path.is_file():
            raise InputError(f"{path}: missing")
        # The library's loader, which knows the older layouts, wants a place for every tensor of the file.
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
            )
        return None if second is None or name in found.missing_keys else second.detach()


def directory_of(source: str) -> Path:
    """The folder behind `local-dir:PATH`, or the local copy of `hf-hub:NAME[@REVISION]`.

    The latter is fetched unless it is there (with `HF_HUB_OFFLINE=1` it must be).

    Raises:
        InputError: no such directory, or it cannot be had.
    """
    with _as_input_error(source):
        if source.startswith("hf-hub:"):
            from huggingface_hub import snapshot_download

            name, _, revision = source.removeprefix("hf-hub:").partition("@")
            open_clip.pretrained.download_pretrained_from_hf(name, revision=revision or None)
            small = ["*.json", "*.txt", "*.model", REPLAY_PROJECTOR_FILE]
            folder = Path(snapshot_download(name, revision=revision or None, allow_patterns=small))
        else:
            folder = Path(source.removeprefix("local-dir:"))
        if not (folder / CONFIG_FILE).is_file():
            raise InputError(f"{folder}: not an open_clip directory, it has no {CONFIG_FILE}")
        return folder


def weights_of(folder: Path) -> Path:
    """The weights file of an open_clip directory.

    Raises:
        InputError: there is none.
    """
    found = open_clip.factory._find_checkpoint_in_dir(folder)
    if found is None:
        raise InputError(f"{folder}: no weights beside {CONFIG_FILE}")
    return Path(found)


def replay_projector_of(folder: Path) -> torch.Tensor | None:
    """The replay projector [P, D] that stands beside a model's weights, or None.

    Raises:
        InputError: the file is there and cannot be read.
    """
    path = folder / REPLAY_PROJECTOR_FILE
    with _as_input_error(str(path)):
        return load_file(path)[REPLAY_PROJECTOR_KEY] if path.is_file() else None


def check_tag(name: str, tag: str) -> None:
    """Raise InputError unless `tag` names weights of open_clip's model `name` that fit it."""
    config = open_clip.get_model_config(name)
    if config is None:
        raise InputError(f"{name}: open_clip knows no such model")
    pretrained = open_clip.get_pretrained_cfg(name, tag)
    if not pretrained:
        known = ", ".join(open_clip.list_pretrained_tags_by_model(name)) or "none"
        raise InputError(f"{name}:{tag}: open_clip has no such weights; tags of {name}: {known}")
    # open_clip itself only warns, and then runs another activation than the weights were trained with.
    if pretrained.get("quick_gelu", False) != config.get("quick_gelu", False):
        other = name.removesuffix("-quickgelu") if name.endswith("-quickgelu") else f"{name}-quickgelu"
        raise InputError(f"{name}:{tag}: these weights want the other GELU; name the model {other}")


def weights_of_tag(name: str, tag: str) -> Path:
    """The weights file of a pretrained tag, fetched unless it is there.

    Raises:
        InputError: no such tag, or it cannot be had.
    """
    check_tag(name, tag)
    with _as_input_error(f"{name}:{tag}"):
        return Path(open_clip.download_pretrained(open_clip.get_pretrained_cfg(name, tag)))


def tokenizer_of(model: str) -> Any:
    """The tokenizer of `local-dir:PATH`, or of a model that open_clip knows by name.

    Raises:
        InputError: it cannot be had, or a package that it needs is not installed.
    """
    with _as_input_error(model):
        try:
            return open_clip.get_tokenizer(model)
        except ModuleNotFoundError as error:
            # Tokenizers other than CLIP's own (SigLIP's) want a package that nothing else here does.
            raise InputError(f"{model}: its tokenizer needs {error.name}: .venv/bin/pip install {error.name}") from None


def _without_text(model: Any, device: str | torch.device) -> Clip:
    data = model.data
    return Clip(
        model=model.to(device).eval(),
        tokenizer=_no_tokenizer,
        image_size=data["input_size"][-1],
        mean=tuple(data["mean"]),
        std=tuple(data["std"]),
        context_length=0,
        replay_projector=None,
    )


def _no_tokenizer(texts: Sequence[str]) -> torch.Tensor:
    raise InputError("this model has no text tower; it can only embed images")


def _from_directory(folder: Path) -> tuple[Any, Any, torch.Tensor | None]:
    model = without_weights(folder)
    projector = load_weights(model, weights_of(folder))
    beside = replay_projector_of(folder)
    return model, tokenizer_of(f"local-dir:{folder}"), projector if beside is None else beside


def _from_tag(source: str) -> tuple[Any, Any]:
    name, _, tag = source.partition(":")
    check_tag(name, tag)
    tokenizer = tokenizer_of(name)
    return open_clip.create_model(name, pretrained=tag), tokenizer


@contextmanager
def _as_input_error(source: str) -> Iterator[None]:
    """What a library says about a model that is missing or broken, in one line."""
    try:
        yield
    except (OSError, RuntimeError, ValueError, KeyError, SafetensorError, pickle.UnpicklingError) as error:
        first = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise InputError(f"{source}: cannot be loaded as a model: {first}") from error
