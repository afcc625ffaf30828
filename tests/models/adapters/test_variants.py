"""What peft makes of LoRA by an option: begins where the model is, has the gradients of peft's own layers, is
merged exactly, and the adapter beside the exported model is one of the model as it was."""

import copy
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft_adapters import IDS, logits, plain, tiny_model
from tiny import tiny_backbone
from torch import Tensor
from training_helpers import small_config

from xalign.base.errors import ConfigError
from xalign.config.schema import ModelConfig
from xalign.models import adapters
from xalign.models.adapters.lora import Lora
from xalign.models.backbone import Backbone
from xalign.models.export import export
from xalign.models.loading import load_model_and_tokenizer
from xalign.models.rounding import RoundedLinear
from xalign.performance.flops import costs_of

VARIANTS: dict[str, dict[str, Any]] = {
    "dora": {"use_dora": True},
    "rslora": {"use_rslora": True},
    "gaussian": {"init_lora_weights": "gaussian"},
    "orthogonal": {"init_lora_weights": "orthogonal"},
    "pissa": {"init_lora_weights": "pissa"},
    "pissa, fast": {"init_lora_weights": "pissa_niter_4"},
    "pissa, rslora": {"init_lora_weights": "pissa", "use_rslora": True},
    "pissa, ranks": {
        "init_lora_weights": "pissa", "rank_pattern": {"v_proj": 2}, "alpha_pattern": {"up_proj": 3},
    },
    "olora": {"init_lora_weights": "olora"},
    "ranks": {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"down_proj": 40}},
    "dora, ranks": {"use_dora": True, "rank_pattern": {"q_proj": 2}},
}  # fmt: skip


def config_of(variant: Mapping[str, Any]) -> Lora.Config:
    return Lora.Config(method="lora", r=4, alpha=6, **variant)


def attached(variant: Mapping[str, Any], family: str = "llama") -> Lora:
    adapter = adapters.attach(tiny_backbone(family), config_of(variant))
    assert isinstance(adapter, Lora)
    return adapter


def move(backbone: Backbone) -> None:
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in backbone.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.05)


@pytest.mark.parametrize("name", VARIANTS)
def test_it_begins_where_the_model_is_and_can_go_back_there(name: str) -> None:
    """What retention holds to: also where the frozen weights are others from the beginning."""
    wanted = logits(tiny_backbone("llama").model)
    adapter = attached(VARIANTS[name])
    torch.testing.assert_close(logits(adapter.backbone.model), wanted, atol=1e-4, rtol=1e-4)
    reference = adapter.reference()
    move(adapter.backbone)
    moved = logits(adapter.backbone.model)
    assert not torch.allclose(moved, wanted, atol=0.05)
    with reference.running() as before:
        torch.testing.assert_close(logits(before.model), wanted, atol=1e-4, rtol=1e-4)
    assert torch.equal(logits(adapter.backbone.model), moved)
    begins_at_nothing = name in ("dora", "rslora", "gaussian", "ranks", "dora, ranks")
    held = sum(p.numel() for p in adapter.backbone.parameters() if p.requires_grad)
    assert sum(p.numel() for p in reference.copies()) == (0 if begins_at_nothing else held)


def gradients(model: Any) -> Iterator[tuple[str, Tensor]]:
    model.zero_grad()
    model(input_ids=IDS, labels=IDS).loss.backward()
    yield from ((name, p.grad.clone()) for name, p in model.named_parameters() if p.grad is not None)


@pytest.mark.parametrize("name", VARIANTS)
def test_gradients_are_those_of_peft_s_own_layers(name: str) -> None:
    adapter = attached(VARIANTS[name])
    move(adapter.backbone)
    options = {"task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 6, **VARIANTS[name]}
    own = get_peft_model(tiny_backbone("llama").model, LoraConfig(target_modules="all-linear", **options))
    own.load_state_dict(adapter.peft.state_dict())
    found, wanted = dict(gradients(adapter.peft)), dict(gradients(own))
    assert found.keys() == wanted.keys()
    assert any("magnitude" in key for key in found) == ("dora" in name)
    for key, value in wanted.items():
        torch.testing.assert_close(found[key], value, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", VARIANTS)
def test_what_is_exported_is_the_trained_model_and_an_adapter_of_the_model_before(
    name: str, tmp_path: Path
) -> None:
    base = tiny_model(tmp_path / "base")
    backbone = Backbone(*load_model_and_tokenizer(ModelConfig(name="toy", path=str(base))))
    adapter = adapters.attach(backbone, config_of(VARIANTS[name]))
    move(backbone)
    wanted = logits(backbone.model)
    export(adapter, tmp_path / "out")
    torch.testing.assert_close(logits(plain(tmp_path / "out")), wanted, atol=1e-4, rtol=1e-4)
    folder = tmp_path / "out" / "adapter"
    assert json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"] == str(base)
    beside = PeftModel.from_pretrained(plain(base), str(folder))
    torch.testing.assert_close(logits(beside), wanted, atol=1e-4, rtol=1e-4)


def test_frozen_products_of_dora_are_rounded_once_and_the_same() -> None:
    adapter = attached(VARIANTS["dora"])
    backbone = adapter.backbone
    move(backbone)
    frozen = [m for m in backbone.model.modules() if isinstance(m, RoundedLinear)]
    assert len(frozen) == 4 * 7
    plainly = copy.deepcopy(backbone)
    for module in plainly.model.modules():
        if isinstance(module, RoundedLinear):
            module.__class__ = torch.nn.Linear
    for own in (backbone, plainly):
        own.compute_dtype = torch.bfloat16
    with backbone.arithmetic():
        found, wanted = logits(backbone.model), logits(plainly.model)
    assert torch.equal(found, wanted)
    assert frozen[0].rounded.value is not None


@pytest.mark.parametrize("name", VARIANTS)
def test_operations_are_those_of_the_products(name: str) -> None:
    """DoRA's norms are left out as the other norms are: a step needs as many operations for them as for the
    adapters of r tokens."""
    found = costs_of(attached(VARIANTS[name]).backbone)
    ranks = {key: VARIANTS[name].get(key, {}) for key in ("rank_pattern",)}
    assert found == costs_of(attached(ranks).backbone)


MISTAKES = {
    "adapter.use_doras=true": "adapter.use_doras: unknown key; did you mean 'use_dora'?",
    "adapter.init_lora_weights=piza": "adapter.init_lora_weights=piza: must be one of true, gaussian,",
    "adapter.init_lora_weights=pissa_niter_x": "must be one of true, gaussian,",
    "adapter.init_lora_weights=false": "adapter.init_lora_weights=False: must be one of true, gaussian,",
    "adapter.init_lora_weights=pissa adapter.use_dora=true": "adapter.use_dora=True: not with init_lora",
    "adapter.init_lora_weights=olora adapter.use_rslora=true adapter.rank_pattern={a: 1}":
        "adapter.use_rslora=True: with init_lora_weights=olora neither rank_pattern nor alpha_pattern",
    "adapter.use_dora=true strategy=fsdp": "adapter.use_dora=True: not with strategy=fsdp",
    "adapter.use_dora=true export.blend=0.5": "adapter.use_dora=True: not with export.blend",
    "adapter=pissa export.blend_above=0.5": "adapter.init_lora_weights=pissa_niter_4: not with export.blend",
    "adapter.rank_pattern={a: 0}": "adapter.rank_pattern.a=0: input should be greater than 0",
}  # fmt: skip


@pytest.mark.parametrize("overrides", MISTAKES)
def test_mistakes_are_told_before_anything_is_loaded(overrides: str) -> None:
    with pytest.raises(ConfigError) as caught:
        small_config(*overrides.replace(": ", ":").split())
    assert len(caught.value.problems) == 1
    assert MISTAKES[overrides] in caught.value.problems[0]


@pytest.mark.parametrize(
    ("preset", "key"), [("dora", "use_dora"), ("rslora", "use_rslora"), ("pissa", "changes_weights")]
)
def test_presets(preset: str, key: str) -> None:
    assert getattr(small_config(f"adapter={preset}").adapter, key) is True
