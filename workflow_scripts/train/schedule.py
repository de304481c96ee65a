"""Learning rate schedule: linear warm-up, then cosine decay to 0 (both papers)."""

import math


def lr_at(step: int, *, peak: float, warmup: int, total: int) -> float:
    """Learning rate of step `step` (from 0) of `total`, with `warmup` warm-up steps up to `peak`."""
    if step < warmup:
        return peak * (step + 1) / warmup
    done = (step - warmup) / max(1, total - warmup)
    return 0.5 * peak * (1 + math.cos(math.pi * min(1.0, done)))
