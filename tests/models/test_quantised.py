"""Checkpoints with quantised weights: made plain, or refused within seconds with the reason."""

import inspect
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import tiny_backbone
from torch import Tensor
from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING, AUTO_QUANTIZER_MAPPING
from transformers.quantizers.base import HfQuantizer

from xalign.base.errors import ModelError
from xalign.config.schema import ModelConfig
from xalign.models import quantised
from xalign.models.loading import load_model_and_tokenizer
from xalign.models.model_folder import problem_of_folder
from xalign.models.quantised import PLAIN, problem_of_quantisation

BLOCK = 16
OTHERS = {"gguf", "higgs"}
"""Read in another way (`models.gguf`); needs a GPU of a certain kind."""


def with_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny saved model with its tokenizer."""
    backbone = tiny_backbone("llama")
    backbone.model.save_pretrained(tmp_path)
    backbone.tokenizer.save_pretrained(tmp_path)
    return tmp_path


def in_fp8(folder: Path) -> dict[str, Tensor]:
    """Store the model's matrices in 8 bits, with a scale for each block, as DeepSeek-V3's are; what they
    mean."""
    meant, stored = {}, {}
    for name, value in load_file(folder / "model.safetensors").items():
        meant[name] = stored[name] = value
        if name.endswith("proj.weight"):
            rows, columns = value.shape
            blocks = value.reshape(rows // BLOCK, BLOCK, columns // BLOCK, BLOCK)
            scale = blocks.abs().amax((1, 3)) / 448
            low = (blocks / scale[:, None, :, None]).to(torch.float8_e4m3fn)
            stored[name], stored[f"{name}_scale_inv"] = low.reshape(rows, columns), scale
            meant[name] = (low.float() * scale[:, None, :, None]).reshape(rows, columns)
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    with_config(
        folder,
        quantization_config={
            "quant_method": "fp8", "weight_block_size": [BLOCK, BLOCK], "activation_scheme": "dynamic",
            "modules_to_not_convert": ["lm_head"],
        },
    )  # fmt: skip
    return meant


def test_weights_of_fp8_become_what_they_mean(folder: Path) -> None:
    meant = in_fp8(folder)
    model, _ = load_model_and_tokenizer(ModelConfig(name="toy", path=str(folder)))
    state = model.state_dict()
    assert all(torch.equal(state[name], value) for name, value in meant.items())
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    model.save_pretrained(folder / "again")
    assert "quantization_config" not in json.loads((folder / "again/config.json").read_text())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"quant_method": "gptq", "bits": 4}, "quantised by 'gptq', from which there is no way back"),
        ({"quant_method": "awq", "bits": 4}, "quantised by 'awq', from which there is no way back"),
        ({"quant_method": "new"}, "quantised by 'new', from which there is no way back"),
        ({"bits": 4}, "has no quant_method"),
        ([], r"quantization_config=\[\] in config.json: a JSON object is needed"),
    ],
)
def test_what_cannot_be_made_plain_is_one_message(folder: Path, given: object, message: str) -> None:
    """Also of the text's part of a multimodal model, and before torch is imported (`cli.lookups`)."""
    config: dict[str, Any] = {"quantization_config": given}
    for own in (config, {"text_config": config}):
        assert message.replace("\\", "") in str(problem_of_quantisation(own))
    with_config(folder, **config)
    assert message.replace("\\", "") in str(problem_of_folder(folder))
    with pytest.raises(ModelError, match=message) as caught:
        load_model_and_tokenizer(ModelConfig(name="toy", path=str(folder)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "package"),
    [
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bitsandbytes"),
        ({"load_in_8bit": True}, "bitsandbytes"),
        ({"quant_method": "compressed-tensors"}, "compressed-tensors"),
    ],
)
def test_a_package_that_is_missing_is_named(
    given: dict[str, object], package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantised, "find_spec", lambda name: None)
    assert f"pip install {package}" in str(problem_of_quantisation({"quantization_config": given}))
    monkeypatch.setattr(quantised, "find_spec", lambda name: object())
    assert problem_of_quantisation({"quantization_config": given}) is None


def test_plain_weights_are_plain() -> None:
    assert problem_of_quantisation({"quantization_config": None}) is None
    assert problem_of_quantisation({}) is None


def test_what_transformers_can_make_plain_is_known() -> None:
    """Fails where transformers learns another way: `PLAIN` should then know it. There is no public list."""
    able = set()
    for method, quantizer in AUTO_QUANTIZER_MAPPING.items():
        config = AUTO_QUANTIZATION_CONFIG_MAPPING.get(method)
        asked = config is not None and "dequantize" in inspect.signature(config).parameters
        if asked or quantizer._dequantize is not HfQuantizer._dequantize:
            able.add(method)
    assert able == PLAIN.keys() | OTHERS
