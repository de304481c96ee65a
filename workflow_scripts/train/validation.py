"""Held-out pairs, without augmentation and with one text type: loss, retrieval within the batch, zero-shot.

Shapes: B pairs of this rank, N of all ranks, C classes, D embedding dimensions, L tokens, R taxonomic ranks.
"""

from collections.abc import Sequence

import numpy as np
import torch

from workflow_scripts.contracts import RANKS
from workflow_scripts.train.forward import Forward
from workflow_scripts.train.loader import Batch, Batches, Pairs
from workflow_scripts.train.loss import contrastive_losses
from workflow_scripts.train.ranks import Ranks, gathered, summed
from workflow_scripts.train.stream import rank_positions


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
        further set: the share of images whose own class's text is the nearest of the classes'; and of pairs whose taxa
        are known `val_rank_<rank>`, the share of images whose nearest class has their name at that rank.
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
            positions = rank_positions(step, part.batch, ranks.rank, ranks.size)
            seen.append((image_BD, tokens_BL, _lineages(part, positions, batch).to(forward.device)))
        losses, retrieved = summed([losses, retrieved], ranks)
        found |= {
            f"val_loss_{part.name}": losses / steps,
            f"val_retrieval_{part.name}": retrieved / (steps * part.batch),
        }
        if part.name != "replay":
            image_BD, tokens_BL, lineage_BR = (torch.cat(side) for side in zip(*seen, strict=True))
            name = "val_zero_shot" if part.name == "biology" else f"val_zero_shot_{part.name}"
            found[name], by_rank = zero_shot(forward, image_BD, tokens_BL, lineage_BR, most=classes, ranks=ranks)
            found |= {f"val_rank_{rank}": share for rank, share in by_rank.items()}
    forward.model.train()
    return found


def own_text_nearest(
    image_BD: torch.Tensor, tokens_BL: torch.Tensor, text_ND: torch.Tensor, tokens_NL: torch.Tensor
) -> int:
    """How many images are nearer to their own text than to any other of N."""
    nearest_B = (image_BD @ text_ND.T).argmax(1)
    return int((tokens_NL[nearest_B] == tokens_BL).all(1).sum())


def _lineages(part: Pairs, positions: Sequence[int], batch: Batch) -> torch.Tensor:
    """The lineages of a batch's pairs [B, R]; zeros where a broken sample may have given its place to another."""
    if batch.broken:
        return torch.zeros(len(positions), len(RANKS), dtype=torch.int64)
    return torch.from_numpy(np.stack([part.lineage(position) for position in positions]))


def zero_shot(
    forward: Forward,
    image_BD: torch.Tensor,
    tokens_BL: torch.Tensor,
    lineage_BR: torch.Tensor,
    *,
    most: int,
    ranks: Ranks,
) -> tuple[float, dict[str, float]]:
    """The share of all ranks' images whose class's text is the nearest, and that by taxonomic rank.

    A class is a distinct text. At a rank an image counts whose taxon is known there, and is right where the nearest
    class has the same one.

    Args:
        forward: the model.
        image_BD: this rank's image features.
        tokens_BL: their texts.
        lineage_BR: their taxa, from the kingdom down, as numbers; 0 where they are not known.
        most: of more classes than this, so many are taken, evenly spread over the sorted texts.
        ranks: this process among the others.
    """
    tokens_CL, class_N = gathered(tokens_BL, ranks).unique(dim=0, return_inverse=True)
    taken = torch.linspace(0, len(tokens_CL) - 1, min(most, len(tokens_CL)), device=tokens_CL.device).long()
    # Of the images of a class the first says what its taxa are.
    first_C = torch.full((len(tokens_CL),), len(class_N), device=class_N.device)
    first_C = first_C.scatter_reduce(0, class_N, torch.arange(len(class_N), device=class_N.device), "amin")
    lineage_CR = gathered(lineage_BR, ranks)[first_C][taken]
    local = len(tokens_BL)
    mine = torch.isin(class_N[ranks.rank * local : (ranks.rank + 1) * local], taken)
    tokens_CL, tokens_BL, lineage_BR = tokens_CL[taken], tokens_BL[mine], lineage_BR[mine]
    nearest_B = (image_BD[mine] @ forward.embed_texts(tokens_CL).T).argmax(1)
    right = int((tokens_CL[nearest_B] == tokens_BL).all(1).sum())
    known_R = (lineage_BR != 0).sum(0).tolist()
    right_R = ((lineage_BR != 0) & (lineage_CR[nearest_B] == lineage_BR)).sum(0).tolist()
    all_right, images, *counts = summed([right, int(mine.sum()), *right_R, *known_R], ranks)
    by_rank = zip(RANKS, counts[: len(RANKS)], counts[len(RANKS) :], strict=True)
    return all_right / images, {rank: right / known for rank, right, known in by_rank if known}
