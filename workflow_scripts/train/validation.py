"""Validation: loss, retrieval within the batch and zero-shot accuracy, without augmentation and with one text type.

Shapes: B pairs of this rank, N pairs of all ranks, C classes, D embedding dimensions, L tokens, R taxonomic ranks.
"""

from collections.abc import Sequence

import numpy as np
import torch

from workflow_scripts.contracts import RANKS
from workflow_scripts.train.forward import Forward
from workflow_scripts.train.loader import Batch, Batches, Pairs
from workflow_scripts.train.loss import contrastive_losses
from workflow_scripts.train.ranks import Ranks, gather_over_ranks, sum_over_ranks
from workflow_scripts.train.stream import rank_positions


@torch.no_grad()
def validate(
    forward: Forward, datasets: Sequence[Pairs], *, batches: int, classes: int, text_type: str, ranks: Ranks
) -> dict[str, float]:
    """Evaluate the model on the first `batches` validation batches of each dataset.

    Args:
        forward: the model being trained.
        datasets: the validation sets.
        batches: maximum number of batches per dataset.
        classes: maximum number of classes in zero-shot classification.
        text_type: text type of the captions.
        ranks: this process and its peers.

    Returns:
        `val_loss_<dataset>`; `val_retrieval_<dataset>`: the share of images whose own text is the nearest in the global
        batch (equal texts count as one). Except for replay, `val_zero_shot` of biology and `val_zero_shot_<dataset>` of
        additional sets: the share of images whose own class's text is the nearest. Where taxa are known,
        `val_rank_<rank>`: the share of images whose nearest class has the same taxon at that rank.
    """
    found: dict[str, float] = {}
    forward.model.eval()
    for dataset in datasets:
        steps = min(batches, len(dataset.stream) // dataset.batch)
        if not steps:
            continue
        held_out = Batches([dataset], size=forward.start.image_size, types=[text_type], seed=0, ranks=ranks)
        first_projector = forward.model.replay_projector is None or dataset.name != "replay"
        losses, retrieved = 0.0, 0.0
        seen = []
        for step in range(steps):
            batch = held_out[step]
            local = len(batch.images)
            image_BD, text_BD, scale = forward.embed(batch.images, batch.tokens, local if first_projector else 0)
            tokens_BL = batch.tokens.to(forward.device)
            losses += float(contrastive_losses(image_BD, text_BD, scale, [local])[0]) / ranks.size
            text_ND, tokens_NL = gather_over_ranks(text_BD, ranks), gather_over_ranks(tokens_BL, ranks)
            retrieved += own_text_nearest(image_BD, tokens_BL, text_ND, tokens_NL)
            positions = rank_positions(step, dataset.batch, ranks.rank, ranks.size)
            seen.append((image_BD, tokens_BL, _lineages(dataset, positions, batch).to(forward.device)))
        losses, retrieved = sum_over_ranks([losses, retrieved], ranks)
        found |= {
            f"val_loss_{dataset.name}": losses / steps,
            f"val_retrieval_{dataset.name}": retrieved / (steps * dataset.batch),
        }
        if dataset.name != "replay":
            image_BD, tokens_BL, lineage_BR = (torch.cat(side) for side in zip(*seen, strict=True))
            name = "val_zero_shot" if dataset.name == "biology" else f"val_zero_shot_{dataset.name}"
            found[name], by_rank = zero_shot(forward, image_BD, tokens_BL, lineage_BR, most=classes, ranks=ranks)
            found |= {f"val_rank_{rank}": share for rank, share in by_rank.items()}
    forward.model.train()
    return found


def own_text_nearest(
    image_BD: torch.Tensor, tokens_BL: torch.Tensor, text_ND: torch.Tensor, tokens_NL: torch.Tensor
) -> int:
    """Number of images whose nearest of the N texts is their own, or one equal to it."""
    nearest_B = (image_BD @ text_ND.T).argmax(1)
    return int((tokens_NL[nearest_B] == tokens_BL).all(1).sum())


def _lineages(dataset: Pairs, positions: Sequence[int], batch: Batch) -> torch.Tensor:
    """Lineages of a batch's pairs, int64 [B, R]; all zeros if the batch has replaced samples."""
    if batch.broken:
        return torch.zeros(len(positions), len(RANKS), dtype=torch.int64)
    return torch.from_numpy(np.stack([dataset.lineage(position) for position in positions]))


def zero_shot(
    forward: Forward,
    image_BD: torch.Tensor,
    tokens_BL: torch.Tensor,
    lineage_BR: torch.Tensor,
    *,
    most: int,
    ranks: Ranks,
) -> tuple[float, dict[str, float]]:
    """Zero-shot accuracy over all ranks' images, and accuracy by taxonomic rank.

    A class is a distinct text. The accuracy at a rank covers the images whose taxon is known at that rank; a prediction
    is correct if the nearest class has the same taxon.

    Args:
        forward: the model.
        image_BD: this rank's image features.
        tokens_BL: tokens of their texts.
        lineage_BR: their taxa from kingdom to species as numbers, 0 if unknown.
        most: maximum number of classes; if there are more, this many are taken, evenly spaced in the sorted texts.
        ranks: this process and its peers.
    """
    tokens_CL, class_N = gather_over_ranks(tokens_BL, ranks).unique(dim=0, return_inverse=True)
    taken = torch.linspace(0, len(tokens_CL) - 1, min(most, len(tokens_CL)), device=tokens_CL.device).long()
    # A class has the taxa of its first image.
    first_C = torch.full((len(tokens_CL),), len(class_N), device=class_N.device)
    first_C = first_C.scatter_reduce(0, class_N, torch.arange(len(class_N), device=class_N.device), "amin")
    lineage_CR = gather_over_ranks(lineage_BR, ranks)[first_C][taken]
    local = len(tokens_BL)
    of_taken = torch.isin(class_N[ranks.rank * local : (ranks.rank + 1) * local], taken)
    tokens_CL, tokens_BL, lineage_BR = tokens_CL[taken], tokens_BL[of_taken], lineage_BR[of_taken]
    nearest_B = (image_BD[of_taken] @ forward.embed_texts(tokens_CL).T).argmax(1)
    right = int((tokens_CL[nearest_B] == tokens_BL).all(1).sum())
    known_R = (lineage_BR != 0).sum(0).tolist()
    right_R = ((lineage_BR != 0) & (lineage_CR[nearest_B] == lineage_BR)).sum(0).tolist()
    all_right, images, *counts = sum_over_ranks([right, int(of_taken.sum()), *right_R, *known_R], ranks)
    by_rank = zip(RANKS, counts[: len(RANKS)], counts[len(RANKS) :], strict=True)
    return all_right / images, {rank: right / known for rank, right, known in by_rank if known}
