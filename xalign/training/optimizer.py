"""The optimizer, with linear warm-up and cosine decay of its learning rate."""

import math
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR
from transformers.optimization import Adafactor

from xalign.choices import OptimizerKind
from xalign.config import OptimizerConfig
from xalign.errors import ConfigError
from xalign.training.row_adamw import RowAdamW


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """The optimizer of `optimizer.kind` over the model's trained parameters.

    Only `adamw` takes sparse gradients: for the others the model's tables are set to have dense ones.

    Raises:
        ConfigError: `optimizer.kind` needs a package that is not installed.
    """
    if config.kind is not OptimizerKind.adamw:
        for module in model.modules():
            if isinstance(module, nn.Embedding):
                module.sparse = False
    match config.kind:
        case OptimizerKind.adamw:
            return adamw(model, config)
        case OptimizerKind.adamw_8bit:
            return _adamw_8bit(model, config)
        case OptimizerKind.adafactor:
            # No momentum, and the second moments of a matrix by rows and columns (Shazeer & Stern 2018). The
            # paper's own step sizes are off, so that `lr` means what it means for AdamW.
            return Adafactor(_groups(model, config), lr=config.lr, scale_parameter=False, relative_step=False)


def adamw(model: nn.Module, config: OptimizerConfig) -> RowAdamW:
    """AdamW over trained parameters (Loshchilov & Hutter 2019); vectors (biases, norms) do not decay."""
    beta1, beta2 = config.betas
    return RowAdamW(_groups(model, config), lr=config.lr, betas=(beta1, beta2), eps=config.eps)


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


def _adamw_8bit(model: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """AdamW with moments in 8 bits, a scale for every 256 of them (Dettmers et al. 2022)."""
    try:
        from bitsandbytes.optim import AdamW8bit
    except ModuleNotFoundError as error:
        raise ConfigError(
            ["optimizer.kind=adamw_8bit: needs the extra: pip install 'xalign[adamw-8bit]'"]
        ) from error
    optimizer: torch.optim.Optimizer = AdamW8bit(
        _groups(model, config), lr=config.lr, betas=tuple(config.betas), eps=config.eps
    )
    return optimizer


def _groups(model: nn.Module, config: OptimizerConfig) -> list[dict[str, Any]]:
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return [g for g in groups if g["params"]]
