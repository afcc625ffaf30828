"""AdamW with linear warm-up and cosine decay."""

import math

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from xalign.config import OptimizerConfig


def adamw(model: nn.Module, config: OptimizerConfig) -> torch.optim.AdamW:
    """AdamW over trained parameters (Loshchilov & Hutter 2019); vectors (biases, norms) do not decay."""
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    beta1, beta2 = config.betas
    return torch.optim.AdamW(
        [g for g in groups if g["params"]], lr=config.lr, betas=(beta1, beta2), eps=config.eps
    )


def cosine_with_warmup(optimizer: torch.optim.Optimizer, config: OptimizerConfig, steps: int) -> LambdaLR:
    """lr(s) rises linearly over the first `warmup_fraction` of the steps, then falls as half a cosine
    to `min_lr_fraction` of the peak at the end (Loshchilov & Hutter 2017, equation 5)."""
    warmup = max(1, round(config.warmup_fraction * steps))

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        progress = min(1.0, (step - warmup) / max(1, steps - warmup))
        low = config.min_lr_fraction
        return low + (1 - low) * 0.5 * (1 + math.cos(math.pi * progress))

    return LambdaLR(optimizer, factor)
