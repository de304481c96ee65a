"""BioCLIP 2's model: one CLIP whose pooled image features go through one of two projectors.

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
    """The library's model with its visual projector set aside, and a second one for replay images.

    Args:
        clip: open_clip's model; its visual tower gives pooled features once its projector is set aside.
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
        """Logarithm of the inverse temperature, shared by both parts."""
        return self.clip.logit_scale

    def forward(
        self, pixels_BCHW: torch.Tensor, tokens_BL: torch.Tensor, biology: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Features of a batch whose first `biology` pairs are biology and whose others are replay.

        Without a second projector all images go through the first.

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
    """The model that training starts from, in training mode and in the dtype that it is trained in.

    Args:
        start: the starting weights; their model is taken over.
        model: what the second projector starts as.
        settings: precision, and the seed of a random projector.
        second_projector: whether replay has one of its own. Without it a projector of the start is left behind.
    """
    projector = starting_projector(start, model.replay_projector_from, settings.seed) if second_projector else None
    network = TwoProjectorClip(start.model, projector).train()
    return network.bfloat16() if settings.precision == "pure_bf16" else network


def starting_projector(start: Clip, source: str, seed: int) -> torch.Tensor:
    """The replay projector [P, D] that training starts from; the log says which.

    Args:
        start: the starting weights, whose own projector comes first.
        source: `proj` or `random`, what it is made from where the start has none.
        seed: of the random one.
    """
    if start.replay_projector is not None:
        logger.info("the replay projector is the starting weights' own")
        return start.replay_projector
    proj = start.model.visual.proj.detach()
    logger.info("the starting weights have no replay projector: it starts as %s", source)
    if source == "proj":
        return proj
    draw = torch.Generator().manual_seed(seed)
    return (torch.randn(proj.shape, generator=draw) * proj.shape[0] ** -0.5).to(proj)
