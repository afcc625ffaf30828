"""The optimizer, with linear warm-up and cosine decay of its learning rate."""

import math
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR
from transformers.optimization import Adafactor

from xalign.config.choices import OptimizerKind
from xalign.config.training import OptimizerConfig
from xalign.training.row_adamw import RowAdamW
from xalign.workspace.environment import hand_back_freed_memory


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """The optimizer of `optimizer.kind` over a module's trained parameters.

    Only `adamw` takes sparse gradients; the others get them dense. That their packages are installed has
    been checked (`extras.require_extras`).
    """
    match config.kind:
        case OptimizerKind.adamw:
            return adamw(model, config)
        case OptimizerKind.adamw_8bit:
            optimizer = _adamw_8bit(model, config)
        case OptimizerKind.adamw_bf16:
            optimizer = _adamw_bf16(model, config)
        case OptimizerKind.adafactor:
            # No momentum, and the second moments of a matrix by rows and columns (Shazeer & Stern 2018). The
            # paper's own step sizes are off, so that `lr` means what it means for AdamW.
            groups = _groups(model, config)
            optimizer = Adafactor(groups, lr=config.lr, scale_parameter=False, relative_step=False)
    optimizer.register_step_pre_hook(_with_dense_gradients)
    return optimizer


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
    from bitsandbytes.optim import AdamW8bit

    optimizer: torch.optim.Optimizer = AdamW8bit(
        _groups(model, config), lr=config.lr, betas=tuple(config.betas), eps=config.eps
    )
    return optimizer


def _adamw_bf16(model: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """AdamW computed in float32 on weights and moments in bf16, the weights rounded stochastically.

    Rounded to the nearest, most weights would never move (experiments/optimizer_benchmark).
    """
    from torchao.optim import _AdamW  # its README's way to stochastic rounding

    optimizer: torch.optim.Optimizer = _AdamW(
        _groups(model, config),
        lr=config.lr,
        betas=tuple(config.betas),
        eps=config.eps,
        bf16_stochastic_round=True,
    )
    return optimizer


def _with_dense_gradients(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    sparse = [p for p in parameters if p.grad is not None and p.grad.is_sparse]
    if sparse:
        hand_back_freed_memory()
    for parameter in sparse:
        assert parameter.grad is not None
        parameter.grad = parameter.grad.to_dense()


def _groups(model: nn.Module, config: OptimizerConfig) -> list[dict[str, Any]]:
    """What is trained of the model, then what objectives train beside it: that is whole where the model is
    sharded, and one fused update cannot take both."""
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    groups = [
        {
            "params": [
                p for name, p in trained if name.startswith("own.") is beside and (p.ndim > 1) is matrix
            ],
            "weight_decay": config.weight_decay if matrix else 0.0,
        }
        for beside in (False, True)
        for matrix in (True, False)
    ]
    return [g for g in groups if g["params"]]
