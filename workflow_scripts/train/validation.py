"""Held-out pairs, without augmentation and with one text type: loss, retrieval within the batch, zero-shot.

Shapes: B pairs of this rank, N of all ranks, C classes, D embedding dimensions, L tokens.
"""

from collections.abc import Sequence

import torch

from workflow_scripts.train.forward import Forward
from workflow_scripts.train.loader import Batches, Pairs
from workflow_scripts.train.loss import contrastive_losses
from workflow_scripts.train.ranks import Ranks, gathered, summed


@torch.no_grad()
def validate(
    forward: Forward, parts: Sequence[Pairs], *, batches: int, classes: int, text_type: str, ranks: Ranks
) -> dict[str, float]:
    """Measure the model on the first `batches` validation batches of each part.

    Args:
        forward: the model as it is trained, compiled or not.
        parts: the held-out pairs.
        batches: at most so many of each part.
        classes: zero-shot classification is among at most so many of the classes met.
        text_type: of the captions.
        ranks: this process among the others.

    Returns:
        For each part `val_loss_<part>`, and `val_retrieval_<part>`: the share of images whose own text is the nearest
        of the global batch's (equal texts are one). But for replay `val_zero_shot`, and `val_zero_shot_<set>` of a
        further set: the share of images whose own class's text is the nearest of the classes'.
    """
    found: dict[str, float] = {}
    forward.model.eval()
    for part in parts:
        steps = min(batches, len(part.stream) // part.batch)
        if not steps:
            continue
        held_out = Batches([part], size=forward.start.image_size, types=[text_type], seed=0, ranks=ranks)
        first_projector = forward.model.replay_projector is None or part.name != "replay"
        losses, retrieved = 0.0, 0.0
        seen = []
        for step in range(steps):
            batch = held_out[step]
            local = len(batch.images)
            image_BD, text_BD, scale = forward.embed(batch.images, batch.tokens, local if first_projector else 0)
            tokens_BL = batch.tokens.to(forward.device)
            losses += float(contrastive_losses(image_BD, text_BD, scale, [local])[0]) / ranks.size
            retrieved += own_text_nearest(image_BD, tokens_BL, gathered(text_BD, ranks), gathered(tokens_BL, ranks))
            seen.append((image_BD, tokens_BL))
        losses, retrieved = summed([losses, retrieved], ranks)
        found |= {
            f"val_loss_{part.name}": losses / steps,
            f"val_retrieval_{part.name}": retrieved / (steps * part.batch),
        }
        if part.name != "replay":
            image_BD, tokens_BL = (torch.cat(side) for side in zip(*seen, strict=True))
            name = "val_zero_shot" if part.name == "biology" else f"val_zero_shot_{part.name}"
            found[name] = zero_shot(forward, image_BD, tokens_BL, classes, ranks)
    forward.model.train()
    return found


def own_text_nearest(
    image_BD: torch.Tensor, tokens_BL: torch.Tensor, text_ND: torch.Tensor, tokens_NL: torch.Tensor
) -> int:
    """How many images are nearer to their own text than to any other of N."""
    nearest_B = (image_BD @ text_ND.T).argmax(1)
    return int((tokens_NL[nearest_B] == tokens_BL).all(1).sum())


def zero_shot(forward: Forward, image_BD: torch.Tensor, tokens_BL: torch.Tensor, most: int, ranks: Ranks) -> float:
    """The share of all ranks' images whose class's text is the nearest; a class is a distinct text.

    Args:
        forward: the model.
        image_BD: this rank's image features.
        tokens_BL: their texts.
        most: of more classes than this, so many are taken, evenly spread over the sorted texts.
        ranks: this process among the others.
    """
    tokens_CL, class_N = gathered(tokens_BL, ranks).unique(dim=0, return_inverse=True)
    taken = torch.linspace(0, len(tokens_CL) - 1, min(most, len(tokens_CL)), device=tokens_CL.device).long()
    local = len(tokens_BL)
    mine = torch.isin(class_N[ranks.rank * local : (ranks.rank + 1) * local], taken)
    tokens_CL = tokens_CL[taken]
    right = own_text_nearest(image_BD[mine], tokens_BL[mine], forward.embed_texts(tokens_CL), tokens_CL)
    all_right, images = summed([right, int(mine.sum())], ranks)
    return all_right / images
