"""CLIP's contrastive loss over the global batch, computed separately for biology and replay (BioCLIP 2).

Each rank computes the logits of its own rows against all ranks' rows (local loss), and gradients propagate through the
all-gather. Averaged over ranks, as DDP does, losses and gradients equal those of one process with the global batch.

Shapes: B pairs of this rank, R ranks, D embedding dimensions, n pairs of a dataset on this rank, N = n * R.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F


class _GatherWithGrad(torch.autograd.Function):
    """All-gather, stacked by rank; the backward pass sums each rank's gradient over all ranks."""

    @staticmethod
    def forward(context: Any, local: torch.Tensor) -> torch.Tensor:
        gathered = [torch.empty_like(local) for _ in range(dist.get_world_size())]
        dist.all_gather(gathered, local.contiguous())
        return torch.stack(gathered)

    @staticmethod
    def backward(context: Any, *gradients: torch.Tensor) -> torch.Tensor:
        gradient = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(gradient)
        return gradient[dist.get_rank()]


def contrastive_losses(
    image_BD: torch.Tensor, text_BD: torch.Tensor, scale: torch.Tensor, counts: Sequence[int]
) -> torch.Tensor:
    """Symmetric cross-entropy of each dataset of the batch; negatives are all ranks' pairs of the same dataset.

    Args:
        image_BD: this rank's image features, of length 1.
        text_BD: this rank's text features, of length 1.
        scale: the inverse temperature.
        counts: pairs of each dataset on this rank (equal on every rank), summing to B.

    Returns:
        This rank's losses, one per dataset; their mean over ranks is the loss of the global batch.
    """
    rank, ranks = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    both_2BD = torch.stack([image_BD, text_BD])
    all_R2BD = _GatherWithGrad.apply(both_2BD) if ranks > 1 else both_2BD[None]
    return losses_among(image_BD, text_BD, all_R2BD, rank=rank, scale=scale, counts=counts)


def losses_among(
    image_BD: torch.Tensor,
    text_BD: torch.Tensor,
    all_R2BD: torch.Tensor,
    *,
    rank: int,
    scale: torch.Tensor,
    counts: Sequence[int],
) -> torch.Tensor:
    """`contrastive_losses`, given the features of all ranks, image and text, as `all_R2BD`."""
    losses = []
    first = 0
    for n in counts:
        rows = slice(first, first + n)
        images_ND, texts_ND = (all_R2BD[:, side, rows].flatten(0, 1) for side in (0, 1))
        target_n = torch.arange(rank * n, (rank + 1) * n, device=image_BD.device)
        image_logits_nN = scale * image_BD[rows] @ texts_ND.T
        text_logits_nN = scale * text_BD[rows] @ images_ND.T
        losses.append((F.cross_entropy(image_logits_nN, target_n) + F.cross_entropy(text_logits_nN, target_n)) / 2)
        first += n
    return torch.stack(losses)
