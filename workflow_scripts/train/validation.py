"""The loss on held-out pairs, without augmentation and with one text type."""

from collections.abc import Sequence

import torch

from workflow_scripts.train.forward import Forward
from workflow_scripts.train.loader import Batches, Pairs
from workflow_scripts.train.ranks import Ranks, summed


@torch.no_grad()
def validate(forward: Forward, parts: Sequence[Pairs], batches: int, text_type: str, ranks: Ranks) -> dict[str, float]:
    """The mean loss of each part over its first `batches` validation batches, as `val_loss_<part>`."""
    found = {}
    forward.model.eval()
    for part in parts:
        steps = min(batches, len(part.stream) // part.batch)
        held_out = Batches([part], size=forward.start.image_size, types=[text_type], seed=0, ranks=ranks)
        losses = []
        for step in range(steps):
            batch = held_out[step]
            local = [part.batch // ranks.size]
            first = forward.model.replay_projector is None or part.name == "biology"
            losses.append(forward.losses(batch.images, batch.tokens, local, biology=first, train=False))
        if losses:
            total = summed([float(torch.stack(losses).sum())], ranks)[0]
            found[f"val_loss_{part.name}"] = total / (len(losses) * ranks.size)
    forward.model.train()
    return found
