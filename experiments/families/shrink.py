"""Configs of any architecture made tiny by rules on the names of their values.

A value keeps its default unless a rule names it. What is computed from others (layer types, the size of a
head) is left out, so that the architecture computes it again.
"""

import re
from collections.abc import Mapping
from typing import Any

from transformers import CONFIG_MAPPING, PreTrainedConfig

WIDTH, BLOCKS, HEADS, KEY_HEADS, HEAD, INNER = 32, 4, 4, 2, 8, 48
VOCABULARY, POSITIONS, WINDOW = 320, 128, 16
TOWER_BLOCKS, IMAGE = 2, 28
INITIAL = 0.1
"""Deviation of random weights: with the usual 0.02, blocks of this width would hardly matter."""

KEY_VALUE = r".*key_value_heads|.*kv_heads|kv_n_heads|num_query_groups"

FACTORS = (
    r"((embedding|residual|attention(_in|_out)?|lm_head|key|ssm_(in|out))_multiplier|logits?_scal(e|ing))"
)
FACTOR = 0.7
"""Of what defaults to 1, and is something else in real models."""

RULES: tuple[tuple[str, int], ...] = (
    # Never more than the default, which may be 0 or 1 on purpose.
    (r"((conf_|num_|n_)?(hidden_|decoder_|encoder_|de?coder_)?(layers?|blocks)|depth)", BLOCKS),
    (r"(num_(decoder|encoder|hidden)_layers|n_layers?)", BLOCKS),
    (r"hidden_size|d_model|n_embd|emb_dim|embedding_dim|word_embed_proj_dim|lru_width", WIDTH),
    (r"(out_hidden_size|hidden_size_global|projector_(in|out)put_dim|embed_dim)", WIDTH),
    (r"(embedding_size|(in|out)put_embedding_size)", WIDTH // 2),
    (KEY_VALUE, KEY_HEADS),
    (r"linear_num_key_heads|index_n_heads", KEY_HEADS),
    (r"mamba_(n|num)_heads", 2 * WIDTH // HEAD),  # they share twice the width
    (r".*(attention_|_)heads|n_head|num_heads|linear_num_value_heads", HEADS),
    (r"(?!qk_head_dim).*head_dim|d_head|d_kv|dim_head|mamba_d_head|mamba_headdim|kv_channels", HEAD),
    (r"attention_head_size", HEAD),
    (r"(q|kv|o)_lora_rank", WIDTH // 2),
    (r".*intermediate_size.*|.*ffn_dim|.*ffn_hidden_size|d_ff|dff|dim_ff|d_inner|n_inner|mlp_dim", INNER),
    (r"feed_forward_size", INNER),
    (r"(.*_)?vocab_size(_.*)?", VOCABULARY),
    (r"(moe_)?num_(local_)?experts|n_routed_experts", 4),
    (r"num_experts_per_tok(en)?|moe_top_?k|moe_k", 2),
    (r"n_group|num_expert_group", 2),
    (r"topk_group|(moe_)?n(um)?_shared_experts|first_k_dense_replace|num_dense_layers", 1),
    (r"state_size|ssm_state_size|mamba_d_state", HEAD),
    (r"time_step_rank|mamba_dt_rank|.*_rank", HEADS),
    (r"(sliding|attention|local)_window(_size)?|window_size|attention_chunk_size", WINDOW),
    (r"(mamba_)?chunk_size|local_attention|attention_window_size|block_size", WINDOW),
    (r"max_position_embeddings|n_positions|max_seq_len|n_ctx|context_length|model_max_length", POSITIONS),
    (r"max_(source|target)_positions|rel_extent|original_max_position_embeddings", POSITIONS),
    (r"rotary_dim", HEAD),
    (r"n_groups|mamba_n_?groups", KEY_HEADS),
    (r"image_size", IMAGE),
)  # fmt: skip
"""Name of a value (a regular expression that matches the whole of it), and what it is lowered to."""

RAISED_TOKENS = VOCABULARY - 40
"""Numbers of special tokens beyond the vocabulary (pictures, sound) count down from its end."""


def tiny_config(kind: str, hints: Mapping[str, Any]) -> PreTrainedConfig:
    """The config of a type of `transformers`, four blocks of width 32; `hints` say what no rule does.

    A hint of a sub-config is a mapping of its own; `None` leaves a value to the architecture.
    """
    factory = CONFIG_MAPPING[kind]
    return factory(**_values(factory, hints, tower=False))


def _values(factory: type[PreTrainedConfig], hints: Mapping[str, Any], tower: bool) -> dict[str, Any]:
    default = vars(factory(**dict(hints.get("_first", {}))))
    found: dict[str, Any] = {}
    for name, value in default.items():
        if isinstance(value, PreTrainedConfig):
            own = hints.get(name) or {}
            text = value is default_text(default)
            found[name] = {"model_type": value.model_type} | _values(type(value), own, tower=not text)
        elif name in ("initializer_range", "init_std"):
            found[name] = INITIAL
        elif re.fullmatch(FACTORS, name) and value == 1.0:
            found[name] = FACTOR
        elif isinstance(value, int) and not isinstance(value, bool) and name[:1] != "_":
            lowered = _lowered(name, value, tower)
            if re.fullmatch(KEY_VALUE, name) and value == default.get("num_attention_heads"):
                lowered = HEADS  # some architectures have no fewer of them
            if lowered != value:
                found[name] = lowered
    found |= {
        name: value for name, value in hints.items() if not isinstance(value, Mapping) or name not in found
    }
    found = {name: value for name, value in found.items() if name[:1] != "_"}
    return {name: value for name, value in found.items() if value is not LEFT}


def default_text(values: Mapping[str, Any]) -> PreTrainedConfig | None:
    """The sub-config of the text's decoder."""
    return next(
        (values[name] for name in ("text_config", "decoder", "thinker_config") if name in values), None
    )


LEFT = object()
"""Hint that leaves a value to the architecture."""


def _lowered(name: str, value: int, tower: bool) -> int:
    if re.search(r"token_(id|index)$", name):
        return value if value < VOCABULARY else RAISED_TOKENS + sum(map(ord, name)) % 40
    for pattern, most in RULES:
        if re.fullmatch(pattern, name):
            most = TOWER_BLOCKS if tower and most is BLOCKS and "head" not in name else most
            return min(value, most)
    return value
