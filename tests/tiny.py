"""Tiny random models of sixteen families, for unit tests."""

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from xalign.models.backbone import Backbone
from xalign.models.byte_tokenizer import byte_tokenizer

_SMALL: dict[str, object] = {
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "vocab_size": 260,
}
_LLAMA: dict[str, object] = {
    **_SMALL,
    "intermediate_size": 48,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}
_EXACT = {"experts_implementation": "eager"}  # the grouped product, which is the default, is none of float64
_GEMMA: dict[str, object] = {**_LLAMA, "head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 16}
_VISION: dict[str, object] = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}
FAMILIES: dict[str, dict[str, object]] = {
    "xglm": {"vocab_size": 260, "d_model": 32, "ffn_dim": 48, "num_layers": 4, "attention_heads": 4},
    "bloom": {"vocab_size": 260, "hidden_size": 32, "n_layer": 4, "n_head": 4},
    "gpt2": {"vocab_size": 260, "n_embd": 32, "n_layer": 4, "n_head": 4, "n_positions": 128},
    "gpt_neo": {
        "vocab_size": 260,
        "hidden_size": 32,
        "num_layers": 4,
        "num_heads": 4,
        "attention_types": [[["global", "local"], 2]],
        "max_position_embeddings": 128,
    },
    "gpt_neox": {**_SMALL, "intermediate_size": 48, "max_position_embeddings": 128},
    "opt": {
        **_SMALL,
        "ffn_dim": 48,
        "word_embed_proj_dim": 32,
        "max_position_embeddings": 128,
    },
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": {**_LLAMA, "head_dim": 8},
    "gemma": {**_LLAMA, "head_dim": 8},
    "gemma2": _GEMMA,
    "gemma3_text": _GEMMA,
    "gemma3": {"text_config": _GEMMA, "vision_config": _VISION, "mm_tokens_per_image": 4},
    "mixtral": {**_LLAMA, **_EXACT, "num_local_experts": 4},
    "qwen3_moe": {
        **_LLAMA,
        **_EXACT,
        "head_dim": 8,
        "moe_intermediate_size": 24,
        "num_experts": 4,
        "num_experts_per_tok": 2,
    },
}

MIXTURES = ("mixtral", "qwen3_moe")
"""Those with experts."""


def tiny_backbone(family: str, seed: int = 0, **changes: object) -> Backbone:
    """A random model of a family with four blocks and the byte tokenizer, in evaluation mode."""
    tokenizer = byte_tokenizer()
    config = AutoConfig.for_model(family, **{**FAMILIES[family], **changes})
    config.pad_token_id = tokenizer.pad_token_id
    config.layerdrop = 0.0
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config)
    # Random initialisation is so small that blocks hardly matter; errors in them should.
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(5.0)
    return Backbone(model, tokenizer).eval()


def other(family: str, **changes: object) -> Backbone:
    """A random model of any family with two blocks, for what only that family does."""
    values = {**_LLAMA, "num_hidden_layers": 2, "pad_token_id": 0}
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, **{**values, **changes})
    return Backbone(AutoModelForCausalLM.from_config(config), byte_tokenizer()).eval()
