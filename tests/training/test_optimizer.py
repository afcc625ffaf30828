"""The optimizers of `optimizer.kind`, and their learning rate's schedule."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from xalign.config.choices import OptimizerKind
from xalign.config.training import OptimizerConfig
from xalign.training.optimizer import build_optimizer, cosine_with_warmup
from xalign.training.row_adamw import BLOCK


def trained(config: OptimizerConfig, steps: int = 60) -> tuple[float, torch.optim.Optimizer]:
    """Loss at the end, as a share of that at the start, of a small regression."""
    torch.manual_seed(0)
    table = nn.Embedding(BLOCK, 64, sparse=True)
    model = nn.Sequential(table, nn.Linear(64, 96), nn.Tanh(), nn.Linear(96, 64))
    if config.kind is OptimizerKind.adamw_bf16:
        model.bfloat16()
    inputs = torch.arange(BLOCK)
    wanted = table.weight.detach().roll(1, 1) / 2
    optimizer = build_optimizer(model, config)
    scheduler = cosine_with_warmup(optimizer, config, steps)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = (model(inputs).float() - wanted).pow(2).mean()
        loss.backward()
        optimizer.step()
        scheduler.step()
        losses.append(float(loss.detach()))
    return losses[-1] / losses[0], optimizer


def state_bytes(optimizer: torch.optim.Optimizer) -> int:
    """Of the state itself: tables of the 256 8-bit values, shared by all parameters, are left out."""
    return sum(
        part.nbytes
        for state in optimizer.state.values()
        for name, value in state.items()
        for part in (value if isinstance(value, list) else [value])
        if isinstance(part, torch.Tensor) and name != "rows" and not name.startswith("qmap")
    )


@pytest.mark.parametrize("kind", OptimizerKind)
def test_every_kind_learns_and_keeps_what_it_says(kind: OptimizerKind) -> None:
    if kind is OptimizerKind.adamw_8bit:
        pytest.importorskip("bitsandbytes")
    plain = OptimizerConfig(lr=3e-3)
    share, optimizer = trained(replace(plain, kind=kind))
    reference, adamw = trained(plain)
    # `lr` means the same for all: none is far from AdamW.
    assert share < 0.5
    assert share == pytest.approx(reference, rel=0.5)
    allowed = {
        OptimizerKind.adamw: 1.0,
        OptimizerKind.adamw_8bit: 0.3,
        OptimizerKind.adamw_bf16: 0.501,  # the count of steps
        OptimizerKind.adafactor: 0.05,
    }
    assert state_bytes(optimizer) <= allowed[kind] * state_bytes(adamw)


def test_adamw_is_torchs() -> None:
    config = OptimizerConfig(lr=1e-2, weight_decay=0.1, betas=[0.8, 0.9], eps=1e-6)
    torch.manual_seed(0)
    model, same = (nn.Linear(4, 4, dtype=torch.float64) for _ in range(2))
    same.load_state_dict(model.state_dict())
    decayed = [
        {"params": [same.weight], "weight_decay": 0.1},
        {"params": [same.bias], "weight_decay": 0.0},
    ]
    expected = torch.optim.AdamW(decayed, lr=1e-2, betas=(0.8, 0.9), eps=1e-6)
    found = build_optimizer(model, config)
    for step in range(5):
        for module in (model, same):
            for parameter in module.parameters():
                parameter.grad = torch.full_like(parameter, step - 1.5)
        found.step()
        expected.step()
    for a, b in zip(model.parameters(), same.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_frozen_parameters_are_left_out() -> None:
    model = nn.Linear(4, 4)
    model.weight.requires_grad_(False)
    optimizer = build_optimizer(model, OptimizerConfig())
    assert [p is model.bias for g in optimizer.param_groups for p in g["params"]] == [True]


def test_the_learning_rate_rises_then_falls_as_half_a_cosine() -> None:
    config = OptimizerConfig(lr=1.0, warmup_fraction=0.2, min_lr_fraction=0.1)
    optimizer = build_optimizer(nn.Linear(2, 2), config)
    scheduler = cosine_with_warmup(optimizer, config, 10)
    rates = []
    for _ in range(11):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    assert rates[:3] == pytest.approx([0.5, 1.0, 1.0])
    assert rates[6] == pytest.approx(0.55)
    assert rates[10] == pytest.approx(0.1)
