"""CLIP models of open_clip: loading, preprocessing, encoding, and BioCLIP 2's second projector.

Shapes: N items, H x W pixels, D embedding dimensions, P pooled dimensions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch

from workflow_scripts.common.config.model_source import ModelSource, model_source
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.open_clip_models import (
    REPLAY_PROJECTOR_FILE,
    as_input_error,
    directory_of,
    open_clip,
    read_model,
)

if TYPE_CHECKING:
    from PIL import Image

Projector = Literal["proj", "replay"]


@dataclass(frozen=True)
class Clip:
    """A model ready to embed, with its preprocessing of images and texts.

    Attributes:
        model: an open_clip model, or a timm model without a text tower, in evaluation mode.
        tokenizer: texts -> token ids [N, context_length]; raises InputError if the model has no text tower.
        image_size: side of the square image, pixels.
        mean: mean for normalisation, RGB, in [0, 1].
        std: standard deviation for normalisation, RGB, in [0, 1].
        context_length: tokens per text; 0 without a text tower.
        replay_projector: [P, D], BioCLIP 2's projector for replay images; None if the model has none.
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
        """Whether the model can encode texts."""
        return self.context_length > 0


def load(source: str | ModelSource, device: str | torch.device = "cpu") -> Clip:
    """Load a model in evaluation mode and fp32.

    Args:
        source: the model source, or its text on a command line (the value of `start`, or JSON).
        device: device to run on.

    Raises:
        InputError: the source is missing or is not a model, or its weights do not match its config.
    """
    source = model_source(source) if isinstance(source, str) else source
    with as_input_error(source):
        if not source.has_text:
            # Only these models need timm.
            from workflow_scripts.common.vision_model import load_vision_model

            return _without_text(load_vision_model(directory_of(source)), device)
        found = read_model(source)
    size = found.config["preprocess_cfg"]["size"]
    return Clip(
        model=found.network.to(device).eval(),
        tokenizer=found.tokenizer,
        image_size=size if isinstance(size, int) else size[0],
        mean=tuple(found.config["preprocess_cfg"]["mean"]),
        std=tuple(found.config["preprocess_cfg"]["std"]),
        context_length=found.tokenizer.context_length,
        replay_projector=None if found.replay_projector is None else found.replay_projector.to(device),
    )


def preprocess(clip: Clip) -> "Callable[[Image.Image], torch.Tensor]":
    """Preprocessing for evaluation: resize the shorter side (bicubic), crop the centre, normalise.

    Returns:
        A function from a PIL image to a float tensor [3, image_size, image_size].
    """
    if not clip.has_text:
        transform: Callable[[Image.Image], torch.Tensor] = clip.model.transform()
        return transform
    config = open_clip.transform.PreprocessCfg(**open_clip.get_model_preprocess_cfg(clip.model))
    return open_clip.transform.image_transform_v2(config, is_train=False)


def preprocess_pixels(clip: Clip) -> "Callable[[Image.Image], Image.Image]":
    """`preprocess` without conversion to floats and normalisation, which `encode_image` does for a whole batch."""
    transform: Any = preprocess(clip)
    return type(transform)(transform.transforms[:-2])


def preprocessing(clip: Clip) -> dict[str, Any]:
    """The settings of `preprocess`, for comparison."""
    settings: dict[str, Any] = open_clip.get_model_preprocess_cfg(clip.model) if clip.has_text else clip.model.data
    return settings


@torch.inference_mode()
def encode_image(clip: Clip, images: torch.Tensor, projector: Projector = "proj") -> torch.Tensor:
    """Image features [N, D], not normalised.

    Args:
        clip: the model.
        images: uint8 [N, H, W, 3] at the model's size, or float [N, 3, H, W] from `preprocess`.
        projector: `replay` uses BioCLIP 2's second projector instead of the first.

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
        raise InputError(f"this model has no {REPLAY_PROJECTOR_FILE}; use the first projector")
    return torch.func.functional_call(clip.model.visual, {"proj": clip.replay_projector}, (pixels,))


@torch.inference_mode()
def encode_text(clip: Clip, texts: Sequence[str]) -> torch.Tensor:
    """Text features [N, D], not normalised. All texts are encoded in one batch.

    Raises:
        InputError: the model has no text tower.
    """
    device = next(clip.model.parameters()).device
    tokens = clip.tokenizer(list(texts)).to(device)
    return clip.model.encode_text(tokens)


def normalised(images: torch.Tensor, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """Normalise uint8 [N, H, W, 3] by mean and standard deviation to float [N, 3, H, W], on the same device."""
    scale = torch.tensor([1 / (255 * value) for value in std], device=images.device)
    shift = torch.tensor([m / s for m, s in zip(mean, std, strict=True)], device=images.device)
    return (images * scale - shift).permute(0, 3, 1, 2).contiguous()


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
