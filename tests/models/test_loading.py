"""Loading from folders, from an architecture and from the hub, and each message when it fails."""

import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, BertConfig, LlamaConfig, LlamaForCausalLM, T5Config

from xalign.base.errors import ModelError
from xalign.config.schema import ModelConfig
from xalign.models import sources
from xalign.models.byte_tokenizer import byte_tokenizer
from xalign.models.loading import load_model_and_tokenizer

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "vocab_size": 260,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
XGLM = {
    "model_type": "xglm",
    "vocab_size": 300,
    "d_model": 16,
    "ffn_dim": 32,
    "num_layers": 2,
    "attention_heads": 2,
}
BLOOM = {"model_type": "bloom", "vocab_size": 300, "hidden_size": 16, "n_layer": 2, "n_head": 2}


def random_model(architecture: dict[str, Any], tokenizer: str | None = "bytes") -> ModelConfig:
    return ModelConfig(name="toy", pretrained=False, architecture=architecture, tokenizer=tokenizer)


def from_path(path: Path | str, **values: Any) -> ModelConfig:
    return ModelConfig(name="toy", path=str(path), **values)


def message_of(config: ModelConfig) -> str:
    with pytest.raises(ModelError) as caught:
        load_model_and_tokenizer(config)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny saved model with its tokenizer, in bfloat16."""
    folder = tmp_path / "models" / "tiny_llama"
    values = {key: value for key, value in LLAMA.items() if key != "model_type"}
    torch.manual_seed(0)
    model: Any = LlamaForCausalLM(LlamaConfig(**values))
    model.to(torch.bfloat16).save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


def change_config(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


# What loads


def test_folder_in_float32_and_evaluation_mode(folder: Path) -> None:
    model, tokenizer = load_model_and_tokenizer(from_path(folder))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert not model.training
    tokens = tokenizer("Grüße", return_tensors="pt")
    reference = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)(**tokens).logits
    torch.testing.assert_close(model(**tokens).logits, reference, rtol=0, atol=0)


@pytest.mark.parametrize("architecture", [LLAMA, XGLM, BLOOM], ids=["llama", "xglm", "bloom"])
def test_random_architectures(architecture: dict[str, Any]) -> None:
    before = torch.random.get_rng_state()
    model, tokenizer = load_model_and_tokenizer(random_model(architecture), seed=3)
    assert torch.equal(torch.random.get_rng_state(), before)
    same, _ = load_model_and_tokenizer(random_model(architecture), seed=3)
    other, _ = load_model_and_tokenizer(random_model(architecture), seed=4)
    weights: list[Any] = [m.get_input_embeddings().weight for m in (model, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert model.get_input_embeddings().num_embeddings == architecture["vocab_size"]
    assert model.config.pad_token_id == tokenizer.pad_token_id
    assert not model.training
    assert model(**tokenizer("abc", return_tensors="pt")).logits.isfinite().all()


def test_vocabulary_is_raised_to_the_tokenizers(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        model, _ = load_model_and_tokenizer(random_model(LLAMA | {"vocab_size": 100}))
    assert model.get_input_embeddings().num_embeddings == 260
    assert "raised from 100 to the tokenizer's 260" in caplog.text


def test_layerdrop_is_off(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        model, tokenizer = load_model_and_tokenizer(random_model(XGLM | {"layerdrop": 0.5}))
    assert model.model.layerdrop == 0.0
    assert "layerdrop set from 0.5 to 0" in caplog.text
    model.config.layerdrop = 0.5
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    model, _ = load_model_and_tokenizer(from_path(tmp_path))
    assert model.model.layerdrop == 0.0


def test_end_of_sequence_pads_where_nothing_else_does(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = folder / "tokenizer_config.json"
    values = json.loads(path.read_text())
    del values["pad_token"]
    path.write_text(json.dumps(values))
    with caplog.at_level(logging.INFO):
        _, tokenizer = load_model_and_tokenizer(from_path(folder))
    assert tokenizer.pad_token_id == tokenizer.eos_token_id == 2
    assert "<eos> pads" in caplog.text


def test_other_tokenizer_than_the_models(folder: Path, tmp_path: Path) -> None:
    other = byte_tokenizer()
    other.save_pretrained(tmp_path / "tokenizer")
    for name in folder.glob("tokenizer*"):
        name.unlink()
    _, tokenizer = load_model_and_tokenizer(from_path(folder, tokenizer=str(tmp_path / "tokenizer")))
    assert tokenizer("abc")["input_ids"] == other("abc")["input_ids"]


def test_added_tokens_beyond_the_vocabulary_only_warn(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    tokenizer = byte_tokenizer()
    tokenizer.add_tokens(["<image>"])
    tokenizer.save_pretrained(folder)
    load_model_and_tokenizer(from_path(folder))
    assert "1 added tokens lie beyond" in caplog.text


# What does not


def test_missing_folder(folder: Path) -> None:
    wrong = folder.with_name("tiny_lama")
    message = message_of(from_path(wrong))
    assert f"model.path={wrong}: no such folder; did you mean 'tiny_llama'?" in message
    assert "holds tiny_llama/" in message


def test_missing_relative_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # With one slash it could be a hub id, but the first part is a folder here.
    monkeypatch.chdir(folder.parents[1])
    assert "no such folder; did you mean 'tiny_llama'?" in message_of(from_path("models/tiny_lama"))


def test_file_instead_of_folder(folder: Path) -> None:
    assert "is a file, a folder or a GGUF file is needed" in message_of(from_path(folder / "config.json"))


def test_folder_without_config(folder: Path) -> None:
    message = message_of(from_path(folder.parent))
    assert "no config.json in this folder" in message
    assert f"did you mean '{folder}'?" in message


def test_damaged_config(folder: Path) -> None:
    (folder / "config.json").write_text("{oops")
    assert "not a valid JSON file" in message_of(from_path(folder))


def test_damaged_weights(folder: Path) -> None:
    os.truncate(folder / "model.safetensors", 5000)
    message = message_of(from_path(folder))
    assert "damaged weights (model.safetensors in" in message
    assert "incomplete" in message


def test_missing_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    message = message_of(from_path(folder))
    assert "no file named model.safetensors" in message
    assert "holds config.json" in message


def test_incomplete_weights(folder: Path) -> None:
    change_config(folder, num_hidden_layers=3)
    assert "the weights lack 9 parameters of the architecture, such as model.layers.2." in message_of(
        from_path(folder)
    )


def test_weights_of_another_shape(folder: Path) -> None:
    change_config(folder, intermediate_size=48)
    assert message_of(from_path(folder)) == (
        f"model.path={folder}: 6 weights have other shapes than config.json says, such as "
        "model.layers.0.mlp.down_proj.weight: [16, 32] where [16, 48] is wanted"
    )


def test_missing_tokenizer(folder: Path) -> None:
    for name in folder.glob("tokenizer*"):
        name.unlink()
    assert "the tokenizer cannot be loaded" in message_of(from_path(folder))


def test_unknown_architecture_in_a_folder(folder: Path) -> None:
    change_config(folder, model_type="llamma")
    assert "no architecture 'llamma'; did you mean 'llama'?" in message_of(from_path(folder))


def test_own_code_is_not_run(folder: Path) -> None:
    change_config(folder, model_type="odd", auto_map={"AutoConfig": "odd.Config"})
    assert "model.trust_remote_code=true" in message_of(from_path(folder))


@pytest.mark.parametrize(("config", "kind"), [(BertConfig, "an encoder"), (T5Config, "an encoder-decoder")])
def test_not_generative(folder: Path, config: Any, kind: str) -> None:
    config().save_pretrained(folder)
    assert f"is {kind}; a decoder-only model is needed" in message_of(from_path(folder))


def test_vocabulary_smaller_than_the_tokenizer(folder: Path) -> None:
    small, _ = load_model_and_tokenizer(random_model(LLAMA))
    small.resize_token_embeddings(200)
    small.save_pretrained(folder)
    assert "the tokenizer has 260 tokens but the model's vocabulary only 200" in message_of(from_path(folder))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"model_type": "lama"}, "model_type=lama: transformers has no such architecture; did you mean"),
        (
            {"hidden_sise": 8},
            "model.architecture.hidden_sise: llama has no such value; did you mean 'hidden_size'",
        ),
        ({"hidden_size": "many"}, "expected int, got str"),
        ({"num_attention_heads": 3}, "model.architecture={"),
        ({"num_attention_heads": 0}, "model.architecture={"),
    ],
)
def test_wrong_architecture(change: dict[str, Any], expected: str) -> None:
    assert expected in message_of(random_model(LLAMA | change))


def test_encoder_architecture() -> None:
    assert "'bert' is an encoder" in message_of(random_model({"model_type": "bert"}))


def test_random_model_without_tokenizer() -> None:
    assert "pretrained=false needs model.tokenizer" in message_of(random_model(LLAMA, tokenizer=None))


@pytest.mark.parametrize("values", [{}, {"path": "here", "artifact": "gemma3_270m"}])
def test_exactly_one_source(values: dict[str, Any]) -> None:
    assert "either model.path" in message_of(ModelConfig(name="toy", **values))


# The hub, which is not asked here


def test_hub_without_network() -> None:
    cases: list[dict[str, Any]] = [
        {"path": "someone/absent-model"},
        {"pretrained": False, "architecture": LLAMA},
    ]
    for values in cases:
        config = ModelConfig(name="toy", tokenizer="someone/absent-tokenizer", **values)
        message = message_of(config)
        what, key = ("model", "model.path") if config.pretrained else ("tokenizer", "model.tokenizer")
        assert f"{key}=someone/absent-{what}: the Hugging Face hub cannot be reached" in message
        assert f"its local cache on this machine lacks model 'someone/absent-{what}'" in message
        assert "model=gemma3_270m" in message


def test_full_disk_keeps_its_own_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sources, "fetch_small", fill)
    with pytest.raises(OSError, match="No space left"):
        load_model_and_tokenizer(from_path("someone/model"))
