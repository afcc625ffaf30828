"""Memory by part, and the micro-batch that it leaves room for."""

import gc
from dataclasses import replace

import pytest
import torch
from tiny import tiny_backbone
from training_helpers import small_config, small_module

from xalign.base.decisions import Decisions
from xalign.config.choices import Pooling
from xalign.data.collate import tokenize
from xalign.models import adapters
from xalign.models.adapters import ADAPTERS
from xalign.performance import memory as memories
from xalign.performance.flops import costs_of
from xalign.performance.memory import (
    RESERVE,
    Memory,
    activation_bytes,
    fitting_micro_batch,
    gradient_bytes,
    memory_of,
    micro_batch_of,
)


def test_activations_grow_with_the_blocks_that_are_run() -> None:
    backbone = tiny_backbone("llama")
    one, two, three = (activation_bytes(backbone, layer) for layer in (1, 2, 3))
    assert three - two == two - one
    # A block of llama keeps at least its input, two norms', queries, keys, values, and the feed-forward's.
    assert two - one > 4 * (3 * 32 + 32 + 2 * 16 + 3 * 48)


def test_activations_below_what_is_trained_are_not_kept() -> None:
    backbone = tiny_backbone("llama")
    full = activation_bytes(backbone, 4)
    backbone.requires_grad_(False)
    assert activation_bytes(backbone, 4) == 1
    list(backbone.model.model.layers)[2].requires_grad_(True)
    assert 0.3 * full < activation_bytes(backbone, 4) < 0.7 * full


def test_measuring_activations_leaves_none_behind() -> None:
    """Not even until Python looks for circles of references: it rarely does while a model trains."""
    backbone = tiny_backbone("llama")
    gc.collect()
    gc.disable()
    try:
        activation_bytes(backbone, 4)
        left = [t for t in gc.get_objects() if isinstance(t, torch.Tensor) and t.grad_fn is not None]
    finally:
        gc.enable()
    assert not left


def test_memory_counts_what_is_there() -> None:
    config = small_config("adapter=full", "loss.retention_weight=0", "optimizer.kind=adamw")
    module = small_module(config, tie_word_embeddings=True)
    backbone = module.backbone
    memory = memory_of(config, backbone, costs_of(backbone), module.objectives, module.reference)
    bytes_of = 4 * sum(p.numel() for p in backbone.parameters())
    assert memory.weights == bytes_of
    # Instructions leave one of everything, sentences of two blocks of four and the last norm.
    blocks = sum(p.nbytes for block in backbone.blocks[:2] for p in block.parameters())
    assert memory.gradients == bytes_of + blocks + 4 * 32
    assert memory.optimizer == 2 * bytes_of
    assert memory.token["contrastive"] < memory.token["instruction"]
    assert memory.activations({"contrastive": 10, "instruction": 1}) == round(
        max(10 * memory.token["contrastive"], memory.token["instruction"])
    )


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("sparse", [True, False])
def test_gradients_are_as_many_as_a_backward_pass_leaves(tied: bool, method: str, sparse: bool) -> None:
    backbone = tiny_backbone("llama", tie_word_embeddings=tied)
    adapters.attach(backbone, ADAPTERS.load(method).Config(method=method))
    backbone.model.get_input_embeddings().sparse = sparse
    tokens = tokenize(backbone.tokenizer, ["one text", "another"], 16)

    def left() -> int:
        dense = [p.grad for p in backbone.parameters() if p.grad is not None and not p.grad.is_sparse]
        backbone.zero_grad(set_to_none=True)
        return sum(g.nbytes for g in dense)

    backbone.represent(tokens, 2, Pooling.mean).sum().backward()
    last_norm = 4 * 32 if method == "full" else 0
    assert gradient_bytes(backbone, 2, head=False) == left() + last_norm
    backbone.logits_at(tokens, tokens.content_mask.bool()).sum().backward()
    assert gradient_bytes(backbone, backbone.depth, head=True) == left()


def test_the_micro_batch_leaves_room_for_the_rest() -> None:
    config = small_config()
    memory = Memory(
        weights=10,
        reference=1,
        rounded=100,
        gradients=200,
        optimizer=300,
        logits=400,
        token={"instruction": 1.0},
    )
    free = 1000 + round(64 / (1 - RESERVE))
    found = [
        fitting_micro_batch(config, memory, {"instruction": 1024}, size, Decisions(quiet=True))
        for size in (free + 2, free - 2)
    ]
    assert found == [64, 32]
    own = replace(config, trainer=replace(config.trainer, micro_batch="99"))
    assert fitting_micro_batch(own, memory, {"instruction": 1024}, free, Decisions(quiet=True)) == 99


def test_ranks_share_the_memory_of_a_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memories, "free_memory", lambda device: 2_000_000_000)
    one, two = small_config(), small_config("strategy=ddp", "trainer.devices=2")
    module = small_module(one)
    backbone = module.backbone
    assert memories.room_of(one, backbone) == 2 * memories.room_of(two, backbone)
    # 8 pairs of 64 tokens a side; 4 samples of 256 tokens.
    found = micro_batch_of(one, backbone, module.objectives, module.reference, Decisions(quiet=True))
    assert found == 1024
