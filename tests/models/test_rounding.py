"""Weights rounded once: the numbers of autocast, to the bit, without rounding in every pass."""

import copy

import pytest
import torch
from tiny import tiny_backbone
from torch import nn

from xalign.config.parts import AdaptedLayers
from xalign.data.collate import Tokens
from xalign.models import adapters
from xalign.models.adapters import ADAPTERS
from xalign.models.backbone import Backbone, computing_in, evaluating
from xalign.models.rounding import RoundedLinear


def logits(backbone: Backbone) -> torch.Tensor:
    ids = backbone.probe_ids(2, 6)
    with evaluating(backbone), backbone.arithmetic():
        made: torch.Tensor = backbone.model(ids).logits
    return made


@pytest.mark.parametrize("family", ["llama", "gpt_neox", "gemma3_text"])
@pytest.mark.parametrize("tied", [True, False])
def test_measuring_in_bf16_gives_the_numbers_of_autocast(family: str, tied: bool) -> None:
    backbone = tiny_backbone(family, tie_word_embeddings=tied)
    backbone.compute_dtype = torch.bfloat16
    plain = logits(backbone)
    with computing_in(backbone, torch.bfloat16):
        assert {type(m) for m in backbone.model.modules() if isinstance(m, nn.Linear)} == {RoundedLinear}
        assert torch.equal(logits(backbone), plain)
        with computing_in(backbone, torch.float32):
            whole = logits(backbone)
    assert {type(m) for m in backbone.model.modules() if isinstance(m, nn.Linear)} == {nn.Linear}
    backbone.compute_dtype = torch.float32
    assert torch.equal(logits(backbone), whole)
    assert not torch.equal(plain, whole)


def test_a_weight_that_was_changed_is_rounded_again() -> None:
    backbone = tiny_backbone("llama")
    with computing_in(backbone, torch.bfloat16):
        before = logits(backbone)
        with torch.no_grad():
            for parameter in backbone.model.parameters():
                parameter.mul_(1.5)
        after = logits(backbone)
    backbone.compute_dtype = torch.bfloat16
    assert torch.equal(logits(backbone), after)
    assert not torch.equal(before, after)


def test_blocks_without_adapters_are_trained_through_with_the_same_gradients() -> None:
    backbone = tiny_backbone("llama")
    adapters.attach(
        backbone, ADAPTERS.load("lora").Config(method="lora", layers=AdaptedLayers.below), layer=1
    )
    backbone.compute_dtype = torch.bfloat16
    rounded = [n for n, m in backbone.model.named_modules() if isinstance(m, RoundedLinear)]
    assert not any(".layers.0." in name for name in rounded)
    assert len(rounded) == 3 * 7
    plain = copy.deepcopy(backbone)
    for module in plain.model.modules():
        if isinstance(module, RoundedLinear):
            module.__class__ = nn.Linear

    def gradients(own: Backbone) -> list[torch.Tensor]:
        ids = own.probe_ids(2, 6)
        mask = torch.ones_like(ids)
        own.hidden_states(Tokens(ids, mask, mask), own.depth).square().sum().backward()
        return [p.grad for p in own.model.parameters() if p.grad is not None]

    for one, other in zip(gradients(backbone), gradients(plain), strict=True):
        assert torch.equal(one, other)
