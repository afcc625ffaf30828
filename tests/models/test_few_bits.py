"""Frozen matrices in few bits: loss and gradients of the dequantised model, memory of the bits."""

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bitsandbytes_stand_in
import pytest
import torch
from peft_adapters import lora, plain, tiny_model, with_adapter
from tiny import tiny_backbone
from training_helpers import batches_of, small_config, small_module

from xalign.base.errors import ConfigError
from xalign.config.choices import Quantization
from xalign.config.schema import ModelConfig
from xalign.models import adapters
from xalign.models.adapters.lora import Lora
from xalign.models.backbone import Backbone, computing_in
from xalign.models.export import export, require_exportable
from xalign.models.few_bits import FewBitsLinear, Int8Linear, few_bits, quantise, scales
from xalign.models.fingerprint import model_fingerprint
from xalign.models.form import require_known_form
from xalign.models.loading import load_model_and_tokenizer
from xalign.models.packing import packs_exactly
from xalign.performance.flops import costs_of
from xalign.performance.memory import memory_of
from xalign.training.accumulate import accumulate

SIZES = {"hidden_size": 64, "intermediate_size": 128, "head_dim": 16}
"""Blocks of 64 weights are whole."""
KINDS = list(Quantization)
FAMILIES = ("llama", "gemma3_text", "qwen2")  # the last has biases


@pytest.fixture(autouse=True)
def kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    bitsandbytes_stand_in.install(monkeypatch)


def in_few_bits(kind: Quantization, family: str = "llama") -> tuple[Backbone, Backbone]:
    """A model in few bits, and a plain one of the weights that it computes with."""
    backbone = tiny_backbone(family, **SIZES)
    meant = copy.deepcopy(backbone)
    quantise(backbone.model, kind)
    for name, layer in backbone.model.named_modules():
        if isinstance(layer, FewBitsLinear):
            own: Any = meant.model.get_submodule(name)
            own.weight.data = layer.matrix(torch.float32)
    return backbone, meant


def logits(backbone: Backbone) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = backbone.model(backbone.probe_ids(2, 9)).logits
    return found


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_model_is_that_of_the_dequantised_weights(kind: Quantization, family: str) -> None:
    backbone, meant = in_few_bits(kind, family)
    assert len(few_bits(backbone.model)) == 4 * 7
    torch.testing.assert_close(logits(backbone), logits(meant))
    assert not torch.allclose(logits(backbone), logits(tiny_backbone(family, **SIZES)), atol=1e-3)
    with computing_in(backbone, torch.bfloat16), backbone.arithmetic():
        low = logits(backbone)
    with computing_in(meant, torch.bfloat16), meant.arithmetic():
        assert torch.equal(low, logits(meant))
    torch.testing.assert_close(logits(backbone), logits(meant))  # also afterwards
    require_known_form(backbone, "here")
    assert packs_exactly(backbone)


@pytest.mark.parametrize(("kind", "largest"), [(Quantization.nf4, 0.2), (Quantization.int8, 0.0045)])
def test_matrices_are_near_what_they_stand_for(kind: Quantization, largest: float) -> None:
    """Half a step of int8 is 1 / 254 of the largest weight of a row, of nf4 up to 0.15 of a block's."""
    for name, layer in in_few_bits(kind)[0].model.named_modules():
        if isinstance(layer, FewBitsLinear):
            own: Any = tiny_backbone("llama", **SIZES).model.get_submodule(name)
            meant = own.weight.detach()
            error = (layer.matrix(torch.float32) - meant).abs() / meant.abs().amax(1, keepdim=True)
            assert 0 < float(error.max()) < largest


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", KINDS)
def test_losses_and_gradients_are_those_of_the_dequantised_model(kind: Quantization, precision: str) -> None:
    """Of every objective of the default loss, retention and early exit among them."""
    config = small_config()
    given: dict[str, Any] = {}
    for name in ("few", "meant"):
        module = small_module(config, **SIZES)
        own = in_few_bits(kind)[0 if name == "few" else 1]
        adapter = adapters.attach(own, config.adapter)
        module.backbone, module.adapter, module.reference = own, adapter, adapter.reference()
        own.compute_dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        torch.manual_seed(0)
        with torch.no_grad():
            for parameter in own.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn_like(parameter) * 0.02)
        found = {}
        for objective, part in batches_of(config, module)[0].parts.items():
            module.zero_grad()
            value, _ = accumulate(module.objectives[objective], module.run(0), part)
            found[objective] = value, {n: p.grad for n, p in own.named_parameters() if p.grad is not None}
        given[name] = found
    assert given["few"].keys() == given["meant"].keys() == {"contrastive", "instruction", "retention"}
    tolerance = 1e-4 if precision == "fp32" else 0.05
    for objective, (value, gradients) in given["meant"].items():
        other, others = given["few"][objective]
        assert other == pytest.approx(value, rel=tolerance, abs=1e-6)
        assert others.keys() == gradients.keys()
        assert all("lora_" in name for name in gradients)
        wanted, got = (torch.cat([g.flatten() for g in own.values()]) for own in (gradients, others))
        assert float((got - wanted).norm() / wanted.norm()) < tolerance


@pytest.mark.parametrize("kind", KINDS)
def test_operations_are_those_of_the_plain_model(kind: Quantization) -> None:
    backbone, meant = in_few_bits(kind)
    for own in (backbone, meant):
        adapters.attach(own, Lora.Config(method="lora", r=2))
    assert costs_of(backbone) == costs_of(meant)


def held(tensors: Sequence[torch.Tensor]) -> int:
    """Bytes, those that are shared counted once."""
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


@pytest.mark.parametrize(("kind", "bits"), [(Quantization.nf4, 4.127), (Quantization.int8, 8.0)])
def test_memory_is_that_of_the_bits(kind: Quantization, bits: float) -> None:
    """A weight takes 4 bits and its share of a scale in 8 (of 64) and of that one's in 32 (of 256)."""
    config = small_config(f"model.quantization={kind}")
    backbone, meant = in_few_bits(kind)
    weights = sum(layer.in_features * layer.out_features for layer in few_bits(backbone.model))
    rows = sum(layer.out_features for layer in few_bits(backbone.model))
    memories = {}
    for own in (backbone, meant):
        module = small_module(config, **SIZES)
        adapter = adapters.attach(own, config.adapter)
        memories[own] = memory_of(config, own, costs_of(own), module.objectives, adapter.reference())
    few, whole = memories[backbone], memories[meant]
    # A scale a row; or an offset and a scale of scales a matrix, and tables, which may be shared.
    tables = [value for name, value in scales(backbone.model) if name.endswith("code")]
    extra = rows * 4 if kind is Quantization.int8 else 28 * (4 + 4) + held(tables)
    assert whole.weights - few.weights == pytest.approx(weights * (4 - bits / 8) - extra, rel=1e-3)
    numbers = [*backbone.parameters(), *(value for _, value in scales(backbone.model))]
    assert few.weights == held(numbers)
    assert few.reference == 0
    # What is made of a layer in few bits is not kept: activations are those of the adapters.
    assert few.token["contrastive"] <= whole.token["contrastive"]
    assert few.rounded == 4 * 64 * 128


def test_a_scale_is_part_of_what_a_model_is() -> None:
    backbone, _ = in_few_bits(Quantization.int8)
    former = model_fingerprint(backbone.model, backbone.tokenizer)
    layer = few_bits(backbone.model)[0]
    assert isinstance(layer, Int8Linear)
    layer.scale.mul_(2)
    assert model_fingerprint(backbone.model, backbone.tokenizer) != former


@pytest.mark.parametrize("kind", KINDS)
def test_the_adapter_is_exported_on_the_weights_as_they_were(kind: Quantization, tmp_path: Path) -> None:
    base = tiny_model(tmp_path / "base", **SIZES)
    given = ModelConfig(name="toy", path=str(base), quantization=kind)
    backbone = Backbone(*load_model_and_tokenizer(given))
    require_exportable(backbone)
    config = Lora.Config(method="lora", r=2)
    adapter = adapters.attach(backbone, config)
    with torch.no_grad():
        for parameter in backbone.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.05)
    trained = logits(backbone)
    whole = Backbone(*load_model_and_tokenizer(ModelConfig(name="toy", path=str(base))))
    export(adapters.on_other_weights(adapter, whole, config, 0, layer=0), tmp_path / "out")
    ids = backbone.probe_ids(2, 9)
    with torch.no_grad():
        merged = plain(tmp_path / "out").eval()(ids).logits
        own = tmp_path / "out" / "adapter"
        # The adapter alone: on the model in few bits, what was trained.
        again = Backbone(*load_model_and_tokenizer(given))
        values: dict[str, Any] = {"alpha": 32, "target_modules": []}
        adapters.attach(again, Lora.Config(method="lora", path=str(own), r=2, **values))
        torch.testing.assert_close(logits(again), trained)
    assert not torch.allclose(merged, trained, atol=1e-3)
    assert 0 < float((merged - trained).norm() / trained.norm()) < 0.5
    assert json.loads((own / "adapter_config.json").read_text())["base_model_name_or_path"] == str(base)


def test_an_adapter_as_a_model_is_merged_before_it_is_put_into_few_bits(tmp_path: Path) -> None:
    base = tiny_model(tmp_path / "base", **SIZES)
    mine = lora(tmp_path / "mine", base)
    model, _ = load_model_and_tokenizer(
        ModelConfig(name="toy", path=str(mine), quantization=Quantization.int8)
    )
    assert few_bits(model)
    with torch.no_grad():
        found = model(torch.arange(5, 25)[None]).logits
    wanted = with_adapter(base, mine)
    assert 0 < float((found - wanted).norm() / wanted.norm()) < 0.1


MISTAKES = {
    "model.quantization=nf4 adapter=full loss.retention_weight=0":
        "model.quantization=nf4: only beside frozen weights (adapter=lora), not adapter=full",
    "model.quantization=int8 strategy=fsdp": "model.quantization=int8: not with strategy=fsdp",
    "model.quantization=int8 adapter.use_dora=true":
        "adapter.use_dora=True: not with model.quantization=int8",
    "model.quantization=int8 adapter.init_lora_weights=pissa":
        "adapter.init_lora_weights=pissa: not with model.quantization=int8",
}  # fmt: skip


@pytest.mark.parametrize("overrides", MISTAKES)
def test_mistakes_are_told_before_anything_is_loaded(overrides: str) -> None:
    with pytest.raises(ConfigError) as caught:
        small_config(*overrides.split())
    assert len(caught.value.problems) == 1
    assert MISTAKES[overrides] in caught.value.problems[0]
