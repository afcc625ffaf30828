"""Multimodal checkpoints: the text decoder is trained, all else exported to the bit, pictures still work."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import FAMILIES
from torch import Tensor
from transformers import AutoConfig, AutoModelForImageTextToText, PreTrainedConfig

from xalign.config.parts import AdapterConfig
from xalign.config.schema import ModelConfig
from xalign.models import adapters
from xalign.models.adapters.lora import Lora
from xalign.models.backbone import Backbone
from xalign.models.byte_tokenizer import byte_tokenizer
from xalign.models.export import export, require_exportable
from xalign.models.form import require_known_form
from xalign.models.kinds import is_multimodal, problem_of_kind, processor_files
from xalign.models.loading import load_model_and_tokenizer

IMAGE = 300
"""Token that stands for a piece of the picture."""
TEXT: dict[str, Any] = {
    "vocab_size": 320, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128,
}  # fmt: skip
ROTARY = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1]}
TOWER = {"depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 4, "out_hidden_size": 32}
WHOLE: dict[str, dict[str, Any]] = {
    "gemma3": {**FAMILIES["gemma3"], "image_token_id": IMAGE},
    "qwen2_5_vl": {
        "text_config": {**TEXT, "rope_parameters": ROTARY},
        "vision_config": {**TOWER, "fullatt_block_indexes": [1], "window_size": 56},
        "image_token_id": IMAGE,
        "video_token_id": IMAGE + 1,
        "vision_start_token_id": IMAGE + 2,
        "vision_end_token_id": IMAGE + 3,
    },
}


def picture(family: str) -> dict[str, Tensor]:
    """What a processor would make of a picture and a few words."""
    generator = torch.Generator().manual_seed(0)
    pieces = {"gemma3": 4, "qwen2_5_vl": 1}[family]
    ids_1T = torch.tensor([[1, 40, 50, *[IMAGE] * pieces, 60, 70]])
    inputs = {"input_ids": ids_1T, "attention_mask": torch.ones_like(ids_1T)}
    types = {"token_type_ids" if family == "gemma3" else "mm_token_type_ids": (ids_1T == IMAGE).long()}
    if family == "gemma3":
        return inputs | types | {"pixel_values": torch.randn(1, 3, 28, 28, generator=generator)}
    pixels = torch.randn(4, 3 * 2 * 14 * 14, generator=generator)
    return inputs | types | {"pixel_values": pixels, "image_grid_thw": torch.tensor([[1, 2, 2]])}


@pytest.fixture(params=WHOLE)
def family(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def folder(family: str, tmp_path: Path) -> Path:
    """A tiny checkpoint of the whole class, as people have it."""
    values = WHOLE[family]
    values = values | {"text_config": {**values["text_config"], "vocab_size": 320}}
    config = AutoConfig.for_model(family, **values)
    torch.manual_seed(0)
    model = AutoModelForImageTextToText.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(5.0)
    path = tmp_path / "whole"
    model.save_pretrained(path)
    byte_tokenizer().save_pretrained(path)
    (path / "preprocessor_config.json").write_text(json.dumps({"size": 28}))
    return path


def answers(folder: Path, family: str) -> tuple[Tensor, Tensor]:
    """Logits of, and tokens written after, a picture and text, by the checkpoint's own class."""
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
    inputs = picture(family)
    with torch.no_grad():
        logits = model(**inputs).logits
        written = model.generate(**inputs, max_new_tokens=4, do_sample=False)
    return logits, written


def loaded(folder: Path) -> Backbone:
    backbone = Backbone(*load_model_and_tokenizer(ModelConfig(name="whole", path=str(folder)))).eval()
    require_known_form(backbone, "m")
    require_exportable(backbone)
    return backbone


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_picture_is_answered_as_before_where_nothing_was_learned(
    family: str, method: str, folder: Path, tmp_path: Path
) -> None:
    logits, written = answers(folder, family)
    config = Lora.Config(method="lora", r=4) if method == "lora" else AdapterConfig(method=method)
    export(adapters.attach(loaded(folder), config), tmp_path / "run" / "model")
    again, rewritten = answers(tmp_path / "run" / "model", family)
    torch.testing.assert_close(again, logits)
    assert torch.equal(rewritten, written)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_towers_are_the_same_to_the_bit_after_training(
    family: str, method: str, folder: Path, tmp_path: Path
) -> None:
    backbone = loaded(folder)
    config = Lora.Config(method="lora", r=4) if method == "lora" else AdapterConfig(method=method)
    adapter = adapters.attach(backbone, config)
    trained = [parameter for parameter in backbone.parameters() if parameter.requires_grad]
    ids = backbone.probe_ids(2, 6)
    backbone.model(input_ids=ids, labels=ids).loss.backward()
    for parameter in trained:
        if parameter.grad is not None and parameter.grad.is_sparse:
            parameter.grad = parameter.grad.to_dense()
    torch.optim.AdamW(trained, lr=1e-2, weight_decay=0.1).step()
    export(adapter, tmp_path / "run" / "model", processor_files(ModelConfig(name="whole", path=str(folder))))
    before, after = (
        AutoModelForImageTextToText.from_pretrained(path, dtype=torch.float32).state_dict()
        for path in (folder, tmp_path / "run" / "model")
    )
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all("language_model" in name or "lm_head" in name for name in changed)
    logits, _ = answers(tmp_path / "run" / "model", family)
    assert logits.isfinite().all()
    assert (tmp_path / "run" / "model" / "preprocessor_config.json").is_file()


@pytest.mark.parametrize(
    ("kind", "architecture", "whole"),
    [
        ("qwen3_5", "Qwen3_5ForConditionalGeneration", True),
        ("qwen3_5", "Qwen3_5ForCausalLM", False),
        ("qwen2_5_vl", "Qwen2_5_VLForConditionalGeneration", True),
        ("llama", "LlamaForCausalLM", False),
        ("phi4_multimodal", "Phi4MultimodalForCausalLM", False),  # one class for both
    ],
)
def test_the_class_is_what_the_checkpoint_says(kind: str, architecture: str, whole: bool) -> None:
    assert is_multimodal(PreTrainedConfig(architectures=[architecture], model_type=kind)) is whole


def test_what_only_drafts_for_another_model_is_refused() -> None:
    config = AutoConfig.for_model("gemma4_unified_assistant")
    assert problem_of_kind(config) == "a part of another model, which it drafts for"
