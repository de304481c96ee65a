"""AdamW as in both papers: weight decay on matrices, none on norms, biases and the temperature."""

from collections import defaultdict

import torch

from workflow_scripts.common.config.train import TrainSettings
from workflow_scripts.train.layer_depths import layer_depths
from workflow_scripts.train.model import TwoProjectorClip

LN_100 = 4.605170185988092
UNDECAYED = ("bn", "ln", "bias", "logit_scale")


def decays(name: str, parameter: torch.Tensor) -> bool:
    """Whether a parameter has weight decay: open_clip's rule, by number of dimensions and name."""
    return parameter.ndim >= 2 and not any(part in name for part in UNDECAYED)


def freeze(model: torch.nn.Module, blocks: int | None) -> None:
    """Freeze all parameters except the last `blocks` transformer blocks of each tower and the layers after them.

    With None, nothing is frozen.
    """
    if blocks is not None:
        depths = layer_depths(name for name, _ in model.named_parameters())
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(depths[name] <= blocks)


def make_optimizer(model: torch.nn.Module, settings: TrainSettings) -> torch.optim.AdamW:
    """AdamW over the trainable parameters, grouped by weight decay and layer depth; `set_lr` sets the learning rate."""
    depths = layer_depths(name for name, _ in model.named_parameters())
    groups: dict[tuple[bool, float], list[torch.nn.Parameter]] = defaultdict(list)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups[decays(name, parameter), settings.layer_decay ** depths[name]].append(parameter)
    return torch.optim.AdamW(
        [
            {"params": parameters, "weight_decay": settings.weight_decay if decayed else 0.0, "share": share}
            for (decayed, share), parameters in groups.items()
        ],
        lr=settings.lr,
        betas=settings.betas,
        eps=settings.eps,
        fused=True,
    )


def unallocated_state_bytes(optimizer: torch.optim.Optimizer) -> int:
    """Bytes that AdamW's first step will allocate for the two moments of each parameter; 0 after that step."""
    if optimizer.state:
        return 0
    return sum(2 * parameter.nbytes for group in optimizer.param_groups for parameter in group["params"])


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of every group, scaled by the group's layer-wise decay."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["share"]


def gradient_norm(model: torch.nn.Module) -> torch.Tensor:
    """Total L2 norm of all gradients."""
    return torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])


def update(
    model: TwoProjectorClip, optimizer: torch.optim.Optimizer, norm: torch.Tensor, clip_norm: float | None
) -> None:
    """Clip the gradients, run the optimiser's step, and clamp the temperature to CLIP's bounds.

    Args:
        model: model with gradients.
        optimizer: optimiser of its parameters.
        norm: total norm of the gradients.
        clip_norm: maximum total norm; None disables clipping.
    """
    if clip_norm is not None:
        torch.nn.utils.clip_grads_with_norm_(model.parameters(), clip_norm, norm)
    optimizer.step()
    with torch.no_grad():
        model.logit_scale.clamp_(0, LN_100)
