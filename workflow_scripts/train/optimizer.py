"""AdamW as both papers set it: weight decay for matrices, none for norms, biases and the temperature."""

import torch

from workflow_scripts.common.config.train import TrainSettings

UNDECAYED = ("bn", "ln", "bias", "logit_scale")


def decays(name: str, parameter: torch.Tensor) -> bool:
    """Whether weight decay acts on a parameter (the rule of open_clip's trainer, by dimensions and name)."""
    return parameter.ndim >= 2 and not any(part in name for part in UNDECAYED)


def make_optimizer(model: torch.nn.Module, settings: TrainSettings) -> torch.optim.AdamW:
    """AdamW over the model's parameters in two groups."""
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for name, p in named if decays(name, p)], "weight_decay": settings.weight_decay},
        {"params": [p for name, p in named if not decays(name, p)], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.lr, betas=settings.betas, eps=settings.eps, fused=True)
