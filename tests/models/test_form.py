"""Decoders that compute other things than the backbone takes for granted are refused when they are loaded."""

from typing import Any

import pytest
import torch
from tiny import FAMILIES, tiny_backbone
from transformers import AutoConfig, AutoModelForCausalLM

from xalign.base.errors import ModelError
from xalign.models import adapters
from xalign.models.adapters.lora import Lora
from xalign.models.backbone import Backbone
from xalign.models.byte_tokenizer import byte_tokenizer
from xalign.models.form import require_known_form

SMALL: dict[str, Any] = {
    "vocab_size": 260,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
}


def other(family: str, **changes: Any) -> Backbone:
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, **SMALL, **changes)
    return Backbone(AutoModelForCausalLM.from_config(config), byte_tokenizer()).eval()


@pytest.mark.parametrize("family", FAMILIES)
def test_known_families(family: str) -> None:
    require_known_form(tiny_backbone(family), "m")


def test_a_small_vocabulary_and_few_positions() -> None:
    require_known_form(tiny_backbone("gpt2", vocab_size=40, n_positions=16), "m")


@pytest.mark.parametrize(
    ("family", "changes", "message"),
    [
        ("granite", {"logits_scaling": 8.0}, "the logits would differ from the model's own by 7 "),
        ("cohere", {}, "the logits would differ"),
        ("nanochat", {}, "layer 0 would differ"),
    ],
)
def test_other_formulas_are_refused(family: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=f"^m: .* is not of a form that xalign knows: {message}"):
        require_known_form(other(family, **changes), "m")


def test_a_decoder_that_does_not_run_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = tiny_backbone("llama")

    def refuse(**options: object) -> None:
        raise TypeError("unexpected\nargument")

    monkeypatch.setattr(backbone.model.get_decoder(), "forward", refuse)
    with pytest.raises(ModelError, match=r"m: LlamaForCausalLM cannot be run as .*: unexpected argument"):
        require_known_form(backbone, "m")


def test_routers_that_are_linear_layers_and_more_get_no_adapters() -> None:
    backbone = other("phimoe", num_local_experts=4, num_experts_per_tok=2)
    adapters.attach(backbone, Lora.Config(method="lora", r=4))
    require_known_form(backbone, "m")
    names = [name for name, p in backbone.model.named_parameters() if p.requires_grad]
    assert any("q_proj" in name for name in names)
    assert not any("router" in name for name in names)
