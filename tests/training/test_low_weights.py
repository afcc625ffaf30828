"""Weights, gradients and moments in bf16, rounded stochastically: `optimizer=adamw_bf16`."""

import os
import signal
from pathlib import Path

import pytest
import torch
from test_fit import fitted_from, interrupt_at, saved_in
from tiny import FAMILIES, MIXTURES, tiny_backbone
from torch import nn
from training_helpers import small_config, timeless

from xalign.base.errors import Stopped
from xalign.config.choices import OptimizerKind, Pooling
from xalign.config.parts import AdapterConfig
from xalign.config.schema import Config
from xalign.config.training import OptimizerConfig
from xalign.data.collate import IGNORED, Tokens, tokenize
from xalign.models import adapters
from xalign.models.adapters.base import Adapter
from xalign.models.backbone import Backbone
from xalign.objectives.passes import Pass
from xalign.training.module import AlignedModel
from xalign.training.optimizer import build_optimizer

LOW = (
    "adapter=full",
    "loss.retention_weight=0",
    "optimizer=adamw_bf16",
    "optimizer.lr=1e-3",
    "trainer.precision=bf16",
)
TEXTS = ["Save the changes", "เปิด", "A much longer sentence than the other two, by far", "é"]


def trained_in_bf16(family: str) -> tuple[Backbone, Adapter]:
    """A tiny model, all of it trained, its matrices bf16 numbers, its products in bf16."""
    backbone = tiny_backbone(family)
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.copy_(parameter.bfloat16())
    adapter = adapters.attach(backbone, AdapterConfig(method="full"))
    backbone.compute_dtype = torch.bfloat16
    return backbone, adapter


# Not mixtures of experts: rounding decides which of them a token is sent to.
@pytest.mark.parametrize("family", [family for family in FAMILIES if family not in MIXTURES])
def test_losses_and_gradients_are_those_of_float32_weights(family: str) -> None:
    """With the same values in both only rounding differs: of gradients, and of embeddings that are scaled."""
    found = []
    for low in (False, True):
        backbone, _ = trained_in_bf16(family)
        if low:
            backbone.keep_low()
        # What text does not run through stays to the bit.
        beside = {id(p) for module in backbone.beside_text().values() for p in module.parameters()}
        kinds = {p.dtype for p in backbone.parameters() if p.ndim > 1 and id(p) not in beside}
        assert kinds == {torch.bfloat16 if low else torch.float32}
        tokens = tokenize(backbone.tokenizer, TEXTS, 64)
        labels = torch.where(tokens.content_mask.bool(), tokens.input_ids, IGNORED)
        hidden_BTD = backbone.hidden_states(tokens, 2)
        vectors_BD = backbone.represent(tokens, 2, Pooling.mean)
        loss = vectors_BD.pow(2).mean()
        loss.backward()
        supervised = Tokens(tokens.input_ids, tokens.attention_mask, tokens.content_mask, labels)
        run = Pass(backbone, None, seed=0, step=0, scale=0.01)
        hidden_SD = backbone.hidden_states(supervised, backbone.depth)[supervised.predicts]
        answers = run.cross_entropy(hidden_SD, supervised.labels_after(supervised.predicts)) * 0.01
        answers.backward()
        value = answers.detach()
        gradients = {n: p.grad for n, p in backbone.named_parameters()}
        for name, parameter in backbone.named_parameters():
            assert parameter.grad is None or parameter.grad.dtype is parameter.dtype, name
        found.append((hidden_BTD.detach(), float(loss.detach()), float(value), gradients))
    plain, low_found = found
    assert low_found[0].dtype is plain[0].dtype is torch.float32
    assert low_found[1] == pytest.approx(plain[1], rel=0.02)
    assert low_found[2] == pytest.approx(plain[2], rel=0.02)
    for name, expected in plain[3].items():
        gradient = low_found[3][name]
        assert (gradient is None) == (expected is None), name
        if expected is not None:
            expected = expected.to_dense()
            difference = gradient.to_dense().float() - expected
            # Keys' biases have none but by rounding.
            assert float(difference.norm()) < 0.1 * float(expected.norm()) + 1e-4, name


def test_updates_too_small_for_bf16_are_made_on_average() -> None:
    """Each is a 25th of the distance to the next bf16 number: rounded to the nearest, none would be made."""
    layer = nn.Linear(64, 64, bias=False).bfloat16()
    nn.init.ones_(layer.weight)
    optimizer = build_optimizer(
        layer, OptimizerConfig(kind=OptimizerKind.adamw_bf16, lr=1e-4, betas=[0.9, 0.98])
    )
    torch.manual_seed(0)
    for _ in range(50):
        layer.weight.grad = torch.ones_like(layer.weight)  # steps of lr exactly
        optimizer.step()
    assert layer.weight.dtype is torch.bfloat16
    assert float(layer.weight.float().mean()) == pytest.approx(1 - 50e-4, abs=3e-4)
    assert {state["exp_avg"].dtype for state in optimizer.state.values()} == {torch.bfloat16}


def fitted(config: Config, path: Path) -> dict[str, torch.Tensor]:
    backbone, adapter = trained_in_bf16("gemma3_text")
    backbone.keep_low()
    return fitted_from(backbone, adapter, config, path)


@pytest.mark.parametrize("objective", ["both", "contrastive"])  # the table's gradient is dense, sparse
def test_a_resumed_run_ends_with_the_same_numbers(
    objective: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_config(*LOW, *(["loss.instruction_weight=0"] if objective == "contrastive" else []))
    step = AlignedModel.training_step
    whole = fitted(config, tmp_path / "whole")
    interrupt_at(3, monkeypatch, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(Stopped):
        fitted(config, tmp_path / "cut")
    monkeypatch.setattr(AlignedModel, "training_step", step)
    resumed = fitted(config, tmp_path / "cut")
    assert timeless(tmp_path / "cut") == timeless(tmp_path / "whole")
    saved = saved_in(tmp_path / "whole")["state_dict"]
    start = dict(trained_in_bf16("gemma3_text")[0].named_parameters())
    moved = 0
    for name, value in whole.items():
        assert torch.equal(resumed[name], value), name
        assert saved[f"backbone.{name}"].dtype is value.dtype
        moved += int((value.float() != start[name]).sum())
    assert moved > 1000
