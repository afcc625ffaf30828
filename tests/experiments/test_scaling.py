"""experiments/scaling: sizes of the models on paper, and the document's figures."""

import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "experiments" / "scaling"))

from paper import (  # noqa: E402
    MODELS,
    Model,
    memory,
    memory_table,
    sent,
    tokens_to_hide,
    traffic_table,
)

# As on the hub.
ARCHITECTURES = {
    MODELS[0]: ("xglm", {"d_model": 1024, "num_layers": 24, "ffn_dim": 4096, "vocab_size": 256_008}),
    MODELS[1]: ("xglm", {"d_model": 4096, "num_layers": 32, "ffn_dim": 16384, "vocab_size": 256_008}),
    MODELS[2]: (
        "llama",
        {
            "hidden_size": 8192, "num_hidden_layers": 80, "intermediate_size": 28672, "vocab_size": 128_256,
            "num_attention_heads": 64, "num_key_value_heads": 8, "tie_word_embeddings": False,
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_sizes_are_those_of_the_real_architectures(model: Model) -> None:
    family, values = ARCHITECTURES[model]
    with torch.device("meta"):
        real = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **values))
    assert model.parameters == pytest.approx(sum(p.numel() for p in real.parameters()), rel=2e-3)
    linear = [m for name, m in real.named_modules() if isinstance(m, nn.Linear) and name != "lm_head"]
    assert model.adapters(16) == 16 * sum(m.in_features + m.out_features for m in linear)


def test_memory_by_hand() -> None:
    model, states = MODELS[1], 7.49e9
    whole = memory(model, "ddp", "full", 8)
    # Parameters, their rounding, two objectives' gradients, two moments.
    assert whole.total == pytest.approx(states * (4 + 2 + 2 * 4 + 8), rel=1e-3)
    shards = [memory(model, "fsdp", "full", ranks) for ranks in (8, 64)]
    for ranks, part in zip((8, 64), shards, strict=True):
        assert ranks * (part.weights + part.gradients + part.optimizer) == pytest.approx(
            whole.weights + whole.gradients + whole.optimizer
        )
    assert shards[0].gathered == shards[1].gathered
    adapters = memory(model, "fsdp", "lora", 10**9)
    assert adapters.weights == pytest.approx(4 * model.adapters(), rel=1e-3)
    assert adapters.optimizer == 8 * model.adapters()


def test_traffic_by_hand() -> None:
    model = MODELS[2]
    assert sent(model, "fsdp", "full", 1) == 0
    blocks = 80 * model.matrices
    # Half the blocks and all of them: gathered twice in bf16, scattered in float32; tables once each.
    expected = 1.5 * blocks * (2 * 2 + 4) + 2 * model.tables * (4 + 4)
    assert sent(model, "fsdp", "full", 10**9) == pytest.approx(expected)
    assert sent(model, "ddp", "lora", 2) == pytest.approx(2.5 * model.adapters() * 4)
    assert tokens_to_hide(model, "ddp", "lora", 8) < tokens_to_hide(model, "fsdp", "lora", 8)


def test_the_document_has_these_figures() -> None:
    text = (ROOT / "docs" / "scaling.md").read_text()
    assert memory_table() in text
    assert traffic_table() in text
