"""CLIP's contrastive loss over the global batch, for biology and replay apart (BioCLIP 2).

Each rank computes the logits of its own rows against everybody's (local loss), and gradients flow back through the
gathering. Averaged over ranks, as DDP does, losses and gradients equal those of one process with the whole batch.

Shapes: B pairs of this rank, R ranks, D embedding dimensions, n pairs of a part on this rank, N = n * R.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F


class _GatherWithGrad(torch.autograd.Function):
    """All ranks' tensors, stacked; the gradient of each comes back to its rank, summed over ranks."""

    @staticmethod
    def forward(context: Any, mine: torch.Tensor) -> torch.Tensor:
        parts = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, mine.contiguous())
        return torch.stack(parts)

    @staticmethod
    def backward(context: Any, *gradients: torch.Tensor) -> torch.Tensor:
        summed = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(summed)
        return summed[dist.get_rank()]


def contrastive_losses(
    image_BD: torch.Tensor, text_BD: torch.Tensor, scale: torch.Tensor, parts: Sequence[int]
) -> torch.Tensor:
    """The symmetric cross-entropy of each part of the batch, over all ranks' pairs of that part and no other's.

    Args:
        image_BD: this rank's image features, of length 1.
        text_BD: this rank's text features, of length 1.
        scale: the inverse temperature.
        parts: pairs a part on this rank (the same on every rank), summing to B.

    Returns:
        This rank's loss of each part; the mean over ranks is the loss of the global batch.
    """
    rank, ranks = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    both_2BD = torch.stack([image_BD, text_BD])
    all_R2BD = _GatherWithGrad.apply(both_2BD) if ranks > 1 else both_2BD[None]
    return losses_among(image_BD, text_BD, all_R2BD, rank=rank, scale=scale, parts=parts)


def losses_among(
    image_BD: torch.Tensor,
    text_BD: torch.Tensor,
    all_R2BD: torch.Tensor,
    *,
    rank: int,
    scale: torch.Tensor,
    parts: Sequence[int],
) -> torch.Tensor:
    """The losses of `contrastive_losses`, once all ranks' features are there."""
    losses = []
    first = 0
    for n in parts:
        part = slice(first, first + n)
        images_ND, texts_ND = (all_R2BD[:, side, part].flatten(0, 1) for side in (0, 1))
        target_n = torch.arange(rank * n, (rank + 1) * n, device=image_BD.device)
        image_logits_nN = scale * image_BD[part] @ texts_ND.T
        text_logits_nN = scale * text_BD[part] @ images_ND.T
        losses.append((F.cross_entropy(image_logits_nN, target_n) + F.cross_entropy(text_logits_nN, target_n)) / 2)
        first += n
    return torch.stack(losses)
