"""What people give as `model.path`: each works, or is refused with one message that says what is wrong."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft_adapters import logits, lora, plain, tiny_model, with_adapter
from safetensors.torch import load_file
from transformers import BertConfig, BertModel, CLIPConfig, Qwen3Model, T5Config, T5ForConditionalGeneration

from xalign.base.errors import XalignError
from xalign.cli.command_line import check
from xalign.config.schema import Config, ModelConfig
from xalign.runs.measurement import load_backbone

SMALL: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2,
                         "num_attention_heads": 2, "vocab_size": 260}  # fmt: skip


def whole(folder: Path) -> None:
    tiny_model(folder)


def adapter(folder: Path) -> None:
    lora(folder, tiny_model(folder.parent / "base"), named="base")


def sharded(folder: Path) -> None:
    tiny_model(folder)
    (folder / "model.safetensors").unlink()
    plain(tiny_model(folder.parent / "base")).save_pretrained(folder, max_shard_size="20KB")
    assert len([*folder.glob("*.safetensors")]) > 2


def pickled(folder: Path) -> None:
    tiny_model(folder)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def embedding_decoder(folder: Path) -> None:
    """A decoder that was published without its head, which is the embeddings': as Qwen3-Embedding."""
    tiny_model(folder, "qwen3", tie_word_embeddings=True)
    model: Any = plain(folder).model
    assert isinstance(model, Qwen3Model)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder)


def without_tokenizer(folder: Path) -> None:
    tiny_model(folder)
    for path in folder.glob("token*"):
        path.unlink()


def broken_config(folder: Path) -> None:
    tiny_model(folder)
    (folder / "config.json").write_text('{"model_type": "llama",')


def missing_shard(folder: Path) -> None:
    sharded(folder)
    sorted(folder.glob("*.safetensors"))[0].unlink()


def unsafe_pickle(folder: Path) -> None:
    pickled(folder)
    torch.save(print, folder / "pytorch_model.bin")


def encoder_decoder(folder: Path) -> None:
    tiny_model(folder)
    config = T5Config(d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, vocab_size=260)
    T5ForConditionalGeneration(config).save_pretrained(folder)


def embedding_encoder(folder: Path) -> None:
    tiny_model(folder)
    BertModel(BertConfig(**SMALL)).save_pretrained(folder)
    (folder / "modules.json").write_text("[]")  # as sentence-transformers leaves it


def pictures(folder: Path) -> None:
    tiny_model(folder)
    CLIPConfig().save_pretrained(folder)


def embedding_without_head(folder: Path) -> None:
    embedding_decoder(folder)
    config = folder / "config.json"
    config.write_text(
        config.read_text().replace('"tie_word_embeddings": true', '"tie_word_embeddings": false')
    )


def model_and_adapter(folder: Path) -> None:
    tiny_model(folder)
    lora(folder, tiny_model(folder.parent / "base"), named="base")


def prompt(folder: Path) -> None:
    adapter(folder)
    config = folder / "adapter_config.json"
    config.write_text(config.read_text().replace('"LORA"', '"PROMPT_TUNING"'))


def adapter_without_base(folder: Path) -> None:
    lora(folder, tiny_model(folder.parent / "base"), named="./gone")


def empty(folder: Path) -> None:
    folder.mkdir()


WORKS: list[Callable[[Path], None]] = [whole, adapter, sharded, pickled, embedding_decoder]
SEEN_AT_ONCE: dict[Callable[[Path], None], str] = {
    broken_config: "config.json is not a valid JSON file: line 1",
    model_and_adapter: "holds a whole model (model.safetensors) and a peft adapter",
    prompt: "an adapter of the type PROMPT_TUNING is no change of weights",
    adapter_without_base: "the adapter's base is base_model_name_or_path=./gone: no such folder",
    empty: "no config.json in this folder, so it is no Hugging Face model (it holds nothing)",
}
REFUSED: dict[Callable[[Path], None], str] = {
    **SEEN_AT_ONCE,
    without_tokenizer: "the tokenizer cannot be loaded",
    missing_shard: "the model cannot be loaded",
    unsafe_pickle: "pickled objects other than weights: not loaded",
    encoder_decoder: "'t5' is an encoder-decoder; a decoder-only model is needed",
    embedding_encoder: "'bert' is an encoder; a decoder-only model is needed",
    embedding_without_head: "the weights lack 1 parameters of the architecture, such as lm_head.weight",
    pictures: "'clip' is not a causal language model; a decoder-only model is needed",
}


def name_of(make: Callable[[Path], None]) -> str:
    return make.__name__.replace("_", " ")


def load(folder: Path) -> Any:
    return load_backbone(ModelConfig(name="mine", path=str(folder)), torch.device("cpu"), 0).model


def looked_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done before torch is imported."""
    monkeypatch.setattr(sys, "argv", ["run", f"model.path={folder}"])
    check("xalign.run", "config", Config)


@pytest.mark.parametrize("make", WORKS, ids=name_of)
def test_what_works(make: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "mine"
    make(folder)
    looked_up(folder, monkeypatch)
    found = logits(load(folder))
    wanted = with_adapter(tmp_path / "base", folder) if make is adapter else logits(plain(folder))
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("make", REFUSED, ids=name_of)
def test_what_does_not_is_one_message(
    make: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "mine"
    make(folder)
    with pytest.raises(XalignError) as caught:
        load(folder)
    assert REFUSED[make] in str(caught.value)
    assert str(caught.value).startswith(f"model.path={folder}: ")
    assert "\n" not in str(caught.value)
    if make not in SEEN_AT_ONCE:
        looked_up(folder, monkeypatch)
        return
    with pytest.raises(XalignError) as caught:
        looked_up(folder, monkeypatch)
    assert SEEN_AT_ONCE[make] in str(caught.value)
    assert caught.value.exit_code == 2
