"""Tiny random models under the names, and in the layouts, of those on the hub."""

import json
import shutil
from pathlib import Path

import torch
from stand_in import GATED
from tiny import FAMILIES
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase
from transformers.models.xglm.tokenization_xglm import XGLMTokenizer

from xalign.models.byte_tokenizer import byte_tokenizer

XGLM, XGLM_BIN = "facebook/xglm-564M", "facebook/xglm-1.7B"
BLOOM = "bigscience/bloom-560m"
SHARDED = "Qwen/Qwen3-8B-Base"
GATED_MODEL = "meta-llama/Llama-3.2-1B"
SENTENCEPIECE, GGUF, BROKEN, MOVING = "some/sentencepiece", "some/gguf", "some/broken", "some/moving"

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,?!:=' 一二三四五六七八九十中文的好"


def xglm_tokenizer() -> PreTrainedTokenizerBase:
    """XGLM's class with a piece a letter."""
    special = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    pieces = [("▁", -2.0), *((letter, -3.0) for letter in dict.fromkeys(LETTERS) if letter != " ")]
    return XGLMTokenizer(vocab=[*special, *pieces])


def tiny(family: str, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    config = AutoConfig.for_model(family, **FAMILIES[family])
    config.vocab_size = len(tokenizer)
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        setattr(config, name, getattr(tokenizer, name))
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config)


def card(folder: Path, licence: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text(f"---\nlicense: {licence}\n---\n# A model\n")


def make_models(models: Path) -> None:
    """`models` gets OWNER/NAME/main of each."""
    tokenizer = xglm_tokenizer()
    xglm = models / XGLM / "main"
    card(xglm, "mit")
    model = tiny("xglm", tokenizer)
    tokenizer.save_pretrained(xglm)
    (xglm / "sentencepiece.bpe.model").write_bytes(b"the pieces once more")
    model.save_pretrained(xglm)
    torch.save(model.state_dict(), xglm / "pytorch_model.bin")
    (xglm / "flax_model.msgpack").write_bytes(b"the weights once more")

    for name, drop in (
        (XGLM_BIN, "model.safetensors"),
        (BROKEN, "pytorch_model.bin"),
        (MOVING, "pytorch_model.bin"),
        (SENTENCEPIECE, "tokenizer.json"),
    ):
        shutil.copytree(xglm, models / name / "main")
        (models / name / "main" / drop).unlink()
    (models / SENTENCEPIECE / "main" / "tokenizer_config.json").unlink()

    own = byte_tokenizer()
    for name, family, licence in (
        (BLOOM, "bloom", "bigscience-bloom-rail-1.0"),
        (GATED_MODEL, "llama", "llama3.2"),
    ):
        folder = models / name / "main"
        card(folder, licence)
        own.save_pretrained(folder)
        tiny(family, own).save_pretrained(folder)
    (models / BLOOM / "main" / "onnx").mkdir()
    (models / BLOOM / "main" / "onnx" / "decoder.bin").write_bytes(b"another format")
    (models / GATED_MODEL / GATED).write_text("")
    (models / GATED_MODEL / "main" / "original").mkdir()
    (models / GATED_MODEL / "main" / "original" / "consolidated.00.bin").write_bytes(b"another format")

    sharded = models / SHARDED / "main"
    card(sharded, "apache-2.0")
    own.save_pretrained(sharded)
    tiny("qwen3", own).save_pretrained(sharded, max_shard_size="30KB")
    assert len(json.loads((sharded / "model.safetensors.index.json").read_text())["weight_map"]) > 2

    gguf = models / GGUF / "main"
    card(gguf, "mit")
    (gguf / "model-Q4_K_M.gguf").write_bytes(b"GGUF")
