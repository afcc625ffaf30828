"""The exported folder is a plain Hugging Face model that computes what the trained one computed."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny import tiny_backbone
from transformers import AutoModelForCausalLM, PreTrainedModel

from xalign.base.errors import ConfigError, ModelError, RunError
from xalign.config.parts import AdapterConfig
from xalign.data.collate import tokenize
from xalign.models import adapters, export
from xalign.models.adapters.base import Adapter
from xalign.models.adapters.lora import Lora
from xalign.models.backbone import Backbone, evaluating
from xalign.models.new_rows import FIRST

RELOAD = """
import sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
folder = sys.argv[1]
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
tokenizer = AutoTokenizer.from_pretrained(folder)
assert not any(name == "xalign" or name.startswith("xalign.") for name in sys.modules)
ids = tokenizer("Save the changes", return_tensors="pt")["input_ids"]
torch.save({"ids": ids, "logits": model(ids).logits.detach()}, folder + "/logits.pt")
"""
TEXT = ["Save the changes"]
UNUSUAL = ("gemma3", "mixtral", "qwen3_moe")
"""Families whose files hold their weights under other names, or in other shapes, than they have in memory."""


def trained(family: str, method: str, **changes: Any) -> Adapter:
    """A tiny model with its trainable parameters moved, as if trained; tied weights move together."""
    if family in ("mixtral", "qwen3_moe"):
        changes["experts_implementation"] = "grouped_mm"  # the default of transformers
    backbone = tiny_backbone(family, **changes)
    setattr(backbone.model.config, FIRST, 200)  # as if a tokenizer had gained its last pieces
    config = Lora.Config(method="lora", r=4) if method == "lora" else AdapterConfig(method=method)
    adapter = adapters.attach(backbone, config)
    with torch.no_grad():
        for parameter in backbone.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.05)
    return adapter


def logits(backbone: Backbone) -> torch.Tensor:
    with evaluating(backbone):
        found: torch.Tensor = backbone.model(tokenize(backbone.tokenizer, TEXT, 64).input_ids).logits
    return found


@pytest.mark.parametrize("family", ["llama", "xglm", "gpt2"])
@pytest.mark.parametrize("method", adapters.ADAPTERS.names())
def test_logits_survive_saving_and_reloading(family: str, method: str, tmp_path: Path) -> None:
    adapter = trained(family, method, tie_word_embeddings=True)
    expected = logits(adapter.backbone)
    export.export(adapter, tmp_path / "model")
    subprocess.run([sys.executable, "-c", RELOAD, str(tmp_path / "model")], check=True, cwd=tmp_path)
    reloaded = torch.load(tmp_path / "model" / "logits.pt", weights_only=True)
    assert torch.equal(reloaded["ids"], tokenize(adapter.backbone.tokenizer, TEXT, 64).input_ids)
    torch.testing.assert_close(reloaded["logits"], expected, atol=1e-5, rtol=1e-5)
    assert (tmp_path / "model" / "adapter").is_dir() == (method == "lora")


@pytest.mark.parametrize("family", UNUSUAL)
@pytest.mark.parametrize("method", ["lora", "full"])
def test_weights_that_files_name_otherwise_survive(family: str, method: str, tmp_path: Path) -> None:
    adapter = trained(family, method)
    export.require_exportable(tiny_backbone(family))
    expected = logits(adapter.backbone)
    export.export(adapter, tmp_path / "model")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    ids = tokenize(adapter.backbone.tokenizer, TEXT, 64).input_ids
    torch.testing.assert_close(again(ids).logits, expected, atol=1e-5, rtol=1e-5)


def test_names_and_shapes_are_known_before_anything_is_written(tmp_path: Path) -> None:
    for family in UNUSUAL:
        model: Any = tiny_backbone(family).model
        model.save_pretrained(tmp_path / family)
        with safe_open(tmp_path / family / "model.safetensors", "pt") as file:
            written = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        assert {name: tuple(value.shape) for name, value in export._as_written(model).items()} == written


def test_the_backbone_goes_on_with_what_was_written(tmp_path: Path) -> None:
    adapter = trained("llama", "full")
    former = list(adapter.backbone.model.parameters())
    export.export(adapter, tmp_path / "model")
    written = load_file(tmp_path / "model" / "model.safetensors")
    found = adapter.backbone.model.state_dict()
    assert found.keys() == written.keys()
    assert all(torch.equal(found[name], written[name]) for name in written)
    assert sum(parameter.numel() for parameter in former) == 0


class Unwritable(RuntimeError):
    pass


def refuse(*args: object, **options: object) -> None:
    raise Unwritable("no rule for this\narchitecture")


def test_what_cannot_be_written_is_refused_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PreTrainedModel, "save_pretrained", refuse)
    with pytest.raises(ModelError) as caught:
        export.require_exportable(tiny_backbone("llama"))
    assert str(caught.value) == (
        "LlamaForCausalLM cannot be exported after training: no rule for this architecture"
    )


def test_what_would_load_with_other_parameters_is_refused_before_training() -> None:
    backbone = tiny_backbone("llama")
    backbone.model.model.layers[0].mlp.more = torch.nn.Linear(32, 3)
    with pytest.raises(ModelError, match=r"written, it would load with unexpected keys: .*mlp\.more"):
        export.require_exportable(backbone)


def test_a_generation_config_that_transformers_will_not_write_is_known_before_training() -> None:
    backbone = tiny_backbone("llama")
    backbone.model.generation_config.temperature = 0.5  # without do_sample
    backbone.model.generation_config.do_sample = False
    with pytest.raises(ModelError, match=r"cannot be exported after training: .*temperature"):
        export.require_exportable(backbone)


def test_a_file_that_differs_is_kept_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = trained("llama", "lora")
    save = PreTrainedModel.save_pretrained

    def change(model: Any, folder: Path, **options: Any) -> None:
        save(model, folder, **options)
        values = load_file(folder / "model.safetensors")
        values["model.norm.weight"] += 1
        save_file(values, folder / "model.safetensors", {"format": "pt"})

    monkeypatch.setattr(PreTrainedModel, "save_pretrained", change)
    with pytest.raises(RunError) as caught:
        export.export(adapter, tmp_path / "model")
    kept = tmp_path / "model.unchecked"
    assert "1 weights come back differently, such as model.norm.weight" in str(caught.value)
    assert f"kept, unchecked, in {kept}, and what was trained in the run's checkpoints" in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.unchecked"]
    assert (kept / "model.safetensors").is_file()
    assert (kept / "adapter" / "adapter_model.safetensors").is_file()
    monkeypatch.undo()
    export.export(trained("llama", "lora"), tmp_path / "model")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]


def test_merging_that_changes_the_model_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = trained("llama", "lora")
    merge = type(adapter).merge

    def merge_wrongly(own: Lora, folder: Path) -> None:
        merge(own, folder)
        own.backbone.model.model.norm.weight.data *= 1.01

    monkeypatch.setattr(Lora, "merge", merge_wrongly)
    with pytest.raises(RunError, match=r"merging the adapters changed the logits by 0\.01"):
        export.export(adapter, tmp_path / "model")
    assert (tmp_path / "model.unchecked" / "model.safetensors").is_file()


def test_a_tokenizer_that_comes_back_differently_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = trained("llama", "lora")
    save = type(adapter.backbone.tokenizer).save_pretrained

    def change(tokenizer: Any, folder: Path) -> None:
        save(tokenizer, folder)
        path = folder / "tokenizer.json"
        content = json.loads(path.read_text())
        content["post_processor"] = None
        path.write_text(json.dumps(content))

    monkeypatch.setattr(type(adapter.backbone.tokenizer), "save_pretrained", change)
    with pytest.raises(RunError, match="the tokenizer comes back differently"):
        export.export(adapter, tmp_path / "model")


def test_a_head_trained_apart_is_refused(tmp_path: Path) -> None:
    backbone = tiny_backbone("llama", tie_word_embeddings=True)
    adapter = adapters.attach(backbone, AdapterConfig(method="full"))
    backbone.model.lm_head.weight = torch.nn.Parameter(backbone.model.lm_head.weight.detach().clone())
    with pytest.raises(ModelError, match="configured as tied but are two tensors"):
        export.require_exportable(backbone)
    with pytest.raises(RunError, match="configured as tied but are two tensors"):
        export.export(adapter, tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("target", [".*lm_head", ".*embed_tokens"])
def test_adapters_of_a_matrix_that_is_used_twice_are_refused(target: str) -> None:
    backbone = tiny_backbone("llama", tie_word_embeddings=True)
    config = Lora.Config(method="lora", target_modules=target)
    with pytest.raises(ConfigError, match="one matrix in this model"):
        adapters.attach(backbone, config)


def test_adapters_of_a_head_of_its_own_are_merged(tmp_path: Path) -> None:
    backbone = tiny_backbone("llama", tie_word_embeddings=False)
    adapter = adapters.attach(backbone, Lora.Config(method="lora", target_modules=".*(lm_head|q_proj)"))
    with torch.no_grad():
        for parameter in backbone.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.05)
    export.export(adapter, tmp_path / "model")
    assert (tmp_path / "model").is_dir()


@pytest.mark.parametrize("method", adapters.ADAPTERS.names())
def test_what_text_does_not_run_through_is_not_trained(method: str) -> None:
    backbone = trained("gemma3", method).backbone
    names = [name for name, p in backbone.model.named_parameters() if p.requires_grad]
    assert names
    assert [name for name in names if "vision" in name or "multi_modal" in name] == []
