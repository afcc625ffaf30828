"""A tiny GGUF file with planted weights."""

from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType

from xalign.models.byte_tokenizer import byte_tokenizer

HIDDEN, INNER, LAYERS, HEADS = 32, 64, 2, 2


TEMPLATE = "{% for message in messages %}<{{ message.role }}>{{ message.content }}{% endfor %}"


def write_gguf(
    path: Path,
    kind: GGMLQuantizationType = GGMLQuantizationType.F32,
    *,
    architecture: str = "llama",
    without: tuple[str, ...] = (),
    extra: Callable[[gguf.GGUFWriter], None] = lambda writer: None,
) -> np.ndarray:
    """Write a llama with random weights and a byte-level vocabulary; returns its embeddings.

    `kind` is how the matrices are stored; tensors that begin with one of `without` are left out; `extra` adds
    to the header.
    """
    rng = np.random.default_rng([0])
    vocabulary = byte_tokenizer().get_vocab()
    tokens = [*sorted(vocabulary, key=lambda token: vocabulary[token]), "ab"]
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(128)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(HIDDEN // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([3] * 4 + [1] * 257)
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(0)
    writer.add_chat_template(TEMPLATE)
    extra(writer)

    def normal(*shape: int) -> np.ndarray:
        return rng.normal(0, 0.1, shape).astype(np.float32)

    def add(name: str, values: np.ndarray) -> None:
        if name.startswith(without):
            return
        stored = kind if values.ndim == 2 else GGMLQuantizationType.F32
        writer.add_tensor(name, gguf.quantize(values, stored), raw_dtype=stored)

    embeddings = normal(len(tokens), HIDDEN)
    add("token_embd.weight", embeddings)
    add("output_norm.weight", 1 + normal(HIDDEN))
    for i in range(LAYERS):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            add(f"blk.{i}.{name}.weight", normal(HIDDEN, HIDDEN))
        add(f"blk.{i}.ffn_gate.weight", normal(INNER, HIDDEN))
        add(f"blk.{i}.ffn_up.weight", normal(INNER, HIDDEN))
        add(f"blk.{i}.ffn_down.weight", normal(HIDDEN, INNER))
        add(f"blk.{i}.attn_norm.weight", 1 + normal(HIDDEN))
        add(f"blk.{i}.ffn_norm.weight", 1 + normal(HIDDEN))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return embeddings
