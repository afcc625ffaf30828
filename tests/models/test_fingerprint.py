"""The fingerprint follows what the model computes and nothing else."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from xalign.models.byte_tokenizer import byte_tokenizer
from xalign.models.fingerprint import model_fingerprint


def tiny() -> Any:
    values: dict[str, Any] = {
        "vocab_size": 260,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**values))


def test_same_model_same_fingerprint_also_from_another_folder(tmp_path: Path) -> None:
    model, tokenizer = tiny(), byte_tokenizer()
    expected = model_fingerprint(model, tokenizer)
    assert len(expected) == 64
    assert model_fingerprint(tiny(), tokenizer) == expected
    model.save_pretrained(tmp_path)
    assert model_fingerprint(AutoModelForCausalLM.from_pretrained(tmp_path), tokenizer) == expected


def test_one_changed_number_changes_it() -> None:
    model, tokenizer = tiny(), byte_tokenizer()
    before = model_fingerprint(model, tokenizer)
    with torch.no_grad():
        model.get_input_embeddings().weight[200, 3] += 1e-6
    assert model_fingerprint(model, tokenizer) != before


def test_config_and_tokenizer_count() -> None:
    tokenizer = byte_tokenizer()
    before = model_fingerprint(tiny(), tokenizer)
    # Without parameters, but it changes the positions' meaning.
    changed = tiny()
    changed.config.rope_parameters["rope_theta"] = 5.0
    assert model_fingerprint(changed, tokenizer) != before
    tokenizer.add_tokens(["new"])
    assert model_fingerprint(tiny(), tokenizer) != before


def test_padding_and_truncation_of_the_last_call_do_not_count() -> None:
    model, tokenizer = tiny(), byte_tokenizer()
    before = model_fingerprint(model, tokenizer)
    tokenizer(["a", "bcd"], padding=True, truncation=True, max_length=3)
    state = tokenizer.backend_tokenizer.padding, tokenizer.backend_tokenizer.truncation
    assert state[0] is not None
    assert model_fingerprint(model, tokenizer) == before
    assert (tokenizer.backend_tokenizer.padding, tokenizer.backend_tokenizer.truncation) == state


def test_bfloat16() -> None:
    model = tiny().to(torch.bfloat16)
    assert model_fingerprint(model, byte_tokenizer()) != model_fingerprint(tiny(), byte_tokenizer())
