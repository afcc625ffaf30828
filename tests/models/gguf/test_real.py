"""The embedded models: transformers' own weights to the bit, and the tokenizer that their files describe."""

import functools
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from xalign.models.gguf.embedded import MODELS, _assemble, model_from_artifact
from xalign.models.gguf.reading import Reader
from xalign.sources.artifacts import package_files

pytestmark = pytest.mark.slow

same_bits = functools.partial(torch.testing.assert_close, rtol=0, atol=0)


@pytest.fixture(params=[name for name in MODELS if name != "qwen2_5_coder_1_5b"])  # 15 GB of memory
def model(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def file(model: str, tmp_path: Path) -> Path:
    embedded = MODELS[model]
    _assemble(embedded, list(package_files(embedded.packages).values()), tmp_path / "model.gguf")
    return tmp_path / "model.gguf"


def test_weights(model: str, file: Path) -> None:
    found = load_file(model_from_artifact(model) / "model.safetensors")
    own = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    wanted = own.state_dict()
    assert found.keys() <= wanted.keys()
    assert set(wanted) - set(found) <= {"lm_head.weight"}  # one with the embeddings
    for name, value in found.items():
        same_bits(value.view(torch.int32), wanted[name].view(torch.int32), msg=name)


def test_tokenizer_and_text(model: str, file: Path) -> None:
    folder = model_from_artifact(model)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    fields = {name: field.contents() for name, field in Reader(file).fields.items()}
    tokens: list[str] = fields["tokenizer.ggml.tokens"]
    for name in ("bos", "eos"):
        assert getattr(tokenizer, f"{name}_token_id") == fields[f"tokenizer.ggml.{name}_token_id"]
    assert tokenizer.pad_token_id == fields.get("tokenizer.ggml.padding_token_id")
    assert tokenizer.chat_template == fields.get("tokenizer.chat_template")
    control = [i for i, kind in enumerate(fields["tokenizer.ggml.token_type"]) if kind == 3]
    for index in control:
        assert tokenizer(tokens[index], add_special_tokens=False)["input_ids"] == [index], tokens[index]
    network: Any = AutoModelForCausalLM.from_pretrained(folder)
    prompt = tokenizer("The capital of France is", return_tensors="pt")
    with torch.inference_mode():
        assert network(**prompt).logits.isfinite().all()
        written = network.generate(**prompt, max_new_tokens=8, do_sample=False)
    said = tokenizer.decode(written[0], skip_special_tokens=True)
    print(said)
    # The smallest goes on in English, and knows no better.
    assert {"gemma3_270m": " the capital of the country"}.get(model, " Paris") in said
