"""AdamW as both papers set it: weight decay for matrices, none for norms, biases and the temperature."""

from collections import defaultdict

import torch

from workflow_scripts.common.config.train import TrainSettings
from workflow_scripts.train.layer_depths import layer_depths
from workflow_scripts.train.model import TwoProjectorClip

LN_100 = 4.605170185988092
UNDECAYED = ("bn", "ln", "bias", "logit_scale")


def decays(name: str, parameter: torch.Tensor) -> bool:
    """Whether weight decay acts on a parameter (the rule of open_clip's trainer, by dimensions and name)."""
    return parameter.ndim >= 2 and not any(part in name for part in UNDECAYED)


def freeze(model: torch.nn.Module, blocks: int | None) -> None:
    """Leave only the last `blocks` transformer blocks of each tower, and what follows them, to be trained.

    None: everything is trained.
    """
    if blocks is not None:
        depths = layer_depths(name for name, _ in model.named_parameters())
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(depths[name] <= blocks)


def make_optimizer(model: torch.nn.Module, settings: TrainSettings) -> torch.optim.AdamW:
    """AdamW over what is trained, in groups of equal weight decay and learning rate (`set_lr` sets it)."""
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


def memory_to_come(optimizer: torch.optim.Optimizer) -> int:
    """Bytes of AdamW's two moments of each parameter, as long as it has not made them: its first step does."""
    if optimizer.state:
        return 0
    return sum(2 * parameter.nbytes for group in optimizer.param_groups for parameter in group["params"])


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give every group its share of the learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["share"]


def gradient_norm(model: torch.nn.Module) -> torch.Tensor:
    """The norm of all gradients together."""
    return torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])


def update(
    model: TwoProjectorClip, optimizer: torch.optim.Optimizer, norm: torch.Tensor, clip_norm: float | None
) -> None:
    """Take the optimiser's step, and keep the temperature within CLIP's bounds.

    Args:
        model: with its gradients.
        optimizer: of its parameters.
        norm: the gradients' norm.
        clip_norm: what the gradients are clipped to; None leaves them as they are.
    """
    if clip_norm is not None:
        torch.nn.utils.clip_grads_with_norm_(model.parameters(), clip_norm, norm)
    optimizer.step()
    with torch.no_grad():
        model.logit_scale.clamp_(0, LN_100)
