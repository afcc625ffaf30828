"""What the rules of `shrink` do not find: values by type, with the reason where it is not plain."""

from typing import Any

_ROPE = {"rope_type": "default", "rope_theta": 10000.0}
_HYBRID = ["linear_attention", "full_attention"] * 2
_INDEXED = {
    "indexer_n_heads": 2,
    "indexer_kv_heads": 1,
    "indexer_head_dim": 8,
    "indexer_budget": 16,
    "indexer_compress_ratio": 4,
}

_MROPE = {"rope_parameters": {**_ROPE, "mrope_section": [2, 1, 1]}}
_NARROW = {"text_config": {"vocab_size": 320}}

HINTS: dict[str, dict[str, Any]] = {
    # Defaults that no model has, or that are not filled in.
    "cohere_compass_text": {"rope_parameters": {"full_attention": _ROPE, "sliding_attention": _ROPE}},
    "deepseek_v2": {"num_experts_per_tok": 2},
    "dots1": {"n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1},
    "hunyuan_v1_dense": {"head_dim": 8},
    "hunyuan_v1_moe": {"head_dim": 8},
    "ministral": {"head_dim": 8},
    "nemotron": {"head_dim": 8, "num_key_value_heads": 4},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2},
    "longcat_flash": {"num_layers": 2},  # each counts as two
    "mamba2": {"num_heads": 8},
    # Layers of both kinds among four.
    "bailing_hybrid": {"layer_group_size": 2},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "kimi_linear": {"layer_types": _HYBRID},
    "zamba": {"layers_block_type": ["linear_attention", "linear_attention", "hybrid", "hybrid"]},
    "zamba2": {
        "layers_block_type": ["linear_attention", "hybrid"] * 2,
        "num_key_value_heads": 4,
        "attention_head_dim": 16,
    },
    "bamba": {"attn_layer_indices": [1, 3]},
    "granitemoehybrid": {"layer_types": _HYBRID},
    "gpt_neo": {"attention_types": [[["global", "local"], 2]]},
    "gemma3n_text": {
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "num_kv_shared_layers": 2,
        "activation_sparsity_pattern": None,
    },
    "xlstm": {"hidden_size": 128, "embedding_dim": 128},  # widths are rounded up to 64
    "lfm2": {"layer_types": ["conv", "full_attention"] * 2},
    "lfm3": {"layer_types": ["conv", "full_attention"] * 2},
    "inkling2_loop_text": {
        "n_layers_per_attn_res_block": 1,
        "loop_layer_index_start": 1,
        "loop_layer_index_end": 3,
    },
    "rwkv": {"rescale_every": 2},
    "reformer": {"is_decoder": True, "axial_pos_embds": False},
    "xmod": {"default_language": "en_XX", "is_decoder": True},
    "gemma4_assistant": {"_first": {"hidden_size_per_layer_input": 0}},
    "qwen4_exp": {"text_config": _INDEXED},
    "qwen4_exp_text": _INDEXED,
    # Multimodal: rotary positions in three parts; a tower's layers that are read; sizes that must agree.
    "qwen2_vl+towers": {"text_config": _MROPE, "vision_config": {"hidden_size": 32, "embed_dim": 32}},
    "qwen2_5_vl+towers": {"text_config": _MROPE, "vision_config": {"fullatt_block_indexes": [1]}},
    "qwen3_vl+towers": {"text_config": _MROPE, "vision_config": {"deepstack_visual_indexes": [0, 1]}},
    "qwen3_vl_moe+towers": {"text_config": _MROPE, "vision_config": {"deepstack_visual_indexes": [0, 1]}},
    "voxtral+towers": {"audio_config": {"intermediate_size": 128}},
}  # fmt: skip
