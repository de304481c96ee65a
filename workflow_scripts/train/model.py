"""BioCLIP 2's model: a CLIP with two visual projectors, one for biology and one for replay images.

Shapes: B images, C x H x W pixels, P pooled dimensions, D embedding dimensions, L tokens.
"""

import logging
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from workflow_scripts.common.clip import Clip
from workflow_scripts.common.config.train import ModelSettings, TrainSettings
from workflow_scripts.common.open_clip_models import REPLAY_PROJECTOR_KEY

logger = logging.getLogger(__name__)


class TwoProjectorClip(nn.Module):
    """An open_clip model whose visual projector is moved here, beside a second one for replay images.

    Args:
        clip: open_clip's model; its `visual.proj` is removed, so that the visual tower returns pooled features.
        replay_projector: [P, D], or None for plain CLIP.
    """

    def __init__(self, clip: Any, replay_projector: torch.Tensor | None) -> None:
        super().__init__()
        self.proj = nn.Parameter(clip.visual.proj.detach().clone())
        self.replay_projector = None if replay_projector is None else nn.Parameter(replay_projector.detach().clone())
        clip.visual.proj = None
        self.clip = clip

    @property
    def logit_scale(self) -> nn.Parameter:
        """Logarithm of the inverse temperature, shared by both projectors."""
        return self.clip.logit_scale

    def forward(
        self, pixels_BCHW: torch.Tensor, tokens_BL: torch.Tensor, biology: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Features of a batch of `biology` biology pairs followed by replay pairs.

        Without a second projector all images use the first.

        Returns:
            Image features and text features, each [B, D], fp32 and of length 1; and the inverse temperature.
        """
        pooled_BP = self.clip.visual(pixels_BCHW)
        if self.replay_projector is None:
            image_BD = pooled_BP @ self.proj
        else:
            image_BD = torch.cat([pooled_BP[:biology] @ self.proj, pooled_BP[biology:] @ self.replay_projector])
        text_BD = self.clip.encode_text(tokens_BL)
        scale = self.logit_scale.float().exp()
        return F.normalize(image_BD.float(), dim=-1), F.normalize(text_BD.float(), dim=-1), scale

    def open_clip_state(self) -> dict[str, torch.Tensor]:
        """The weights under open_clip's names, and the second projector as `replay_projector`."""
        state = {"visual.proj": self.proj.detach(), **self.clip.state_dict()}
        if self.replay_projector is not None:
            state[REPLAY_PROJECTOR_KEY] = self.replay_projector.detach()
        return state


def starting_model(
    start: Clip, model: ModelSettings, settings: TrainSettings, *, second_projector: bool
) -> TwoProjectorClip:
    """The model to train, in training mode and in its training dtype.

    Args:
        start: the starting weights; their model is modified in place.
        model: initialisation of the second projector.
        settings: precision, and the seed of a random projector.
        second_projector: whether replay has its own projector. If not, one in the starting weights is dropped.
    """
    projector = starting_projector(start, model.replay_projector_from, settings.seed) if second_projector else None
    network = TwoProjectorClip(start.model, projector).train()
    return network.bfloat16() if settings.precision == "pure_bf16" else network


def starting_projector(start: Clip, source: str, seed: int) -> torch.Tensor:
    """The initial replay projector [P, D]: the starting weights' own if they have one.

    Args:
        start: the starting weights.
        source: initialisation otherwise: `proj` copies the first projector, `random` draws one.
        seed: seed of `random`.
    """
    if start.replay_projector is not None:
        logger.info("replay projector: taken from the starting weights")
        return start.replay_projector
    proj = start.model.visual.proj.detach()
    logger.info("replay projector: the starting weights have none; initialised from %s", source)
    if source == "proj":
        return proj
    draw = torch.Generator().manual_seed(seed)
    return (torch.randn(proj.shape, generator=draw) * proj.shape[0] ** -0.5).to(proj)
