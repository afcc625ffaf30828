"""Fast paths against the plain one: the published formulas on Hugging Face's own forward pass."""

import math
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from float64 import InFloat64
from peft.tuners import lora
from tiny import FAMILIES, tiny_backbone
from torch import Tensor
from training_helpers import batches_of, small_config, small_module, with_random_adapters

from xalign.config.choices import Pooling
from xalign.config.schema import Config
from xalign.data.collate import Arrangement, Tokens, arrange, encode
from xalign.data.step import StepBatch
from xalign.models import adapters
from xalign.models.dropout import enter_training
from xalign.models.low_rank import LowRankLinear
from xalign.models.packing import packs_exactly
from xalign.models.pooling import pool, pool_packed
from xalign.objectives.kernels import full_logits
from xalign.training.accumulate import accumulate
from xalign.training.module import AlignedModel

PACKED = Arrangement(packed=True, widest=128)
TEXTS = ["Save", "Close the file", "Every user may open a page and more", "", "No event", "New group of 7"]


def module_of(config: Config, family: str, dtype: torch.dtype) -> AlignedModel:
    """In training; the same parameters each time, adapters too: theirs are drawn, so that none is zero."""
    return with_random_adapters(small_module(config, family).to(dtype))


def of_objective(module: AlignedModel, batch: StepBatch, name: str) -> tuple[float, dict[str, Tensor]]:
    module.zero_grad()
    loss, _ = accumulate(module.objectives[name], module.run(batch.step), batch.parts[name])
    found = {n: p.grad.to_dense() for n, p in module.named_parameters() if p.grad is not None}
    return loss, {n: g.clone() for n, g in found.items() if g.any()}


def plain(module: AlignedModel, batch: StepBatch, name: str) -> tuple[float, dict[str, Tensor]]:
    """Each text alone, through all blocks, with logits everywhere, and peft's own arithmetic."""
    module.zero_grad()
    model, config = module.backbone.model, module.config
    for layer in model.modules():
        if isinstance(layer, LowRankLinear):
            layer.__class__ = lora.Linear  # type: ignore[assignment]
    if name == "contrastive":
        part = batch.parts["contrastive"]
        contrastive: Any = config.loss.objectives["contrastive"]
        languages, *keys = (part.numbers[key] for key in ("language", "source", "target"))
        vectors = []
        for tokens in part.texts.buckets:
            for ids, mask, content in zip(
                tokens.input_ids, tokens.attention_mask, tokens.content_mask, strict=True
            ):
                states = model(ids[mask.bool()][None], output_hidden_states=True).hidden_states
                vectors.append(states[2][0][content[mask.bool()].bool()].mean(0))
        source, target = torch.stack(vectors)[part.texts.order].chunk(2)
        for language in languages.unique():
            own = (languages == language)[:, None]
            source = torch.where(own, source - source[own[:, 0]].mean(0), source)
            target = torch.where(own, target - target[own[:, 0]].mean(0), target)
        cosines = torch.nn.functional.cosine_similarity(source[:, None], target[None], dim=-1)
        same = (keys[0][:, None] == keys[0]) | (keys[1][:, None] == keys[1])
        logits = (cosines / contrastive.tau).masked_fill(same.fill_diagonal_(False), -math.inf)
        both = [way.log_softmax(1).diagonal().mean() for way in (logits, logits.T)]
        loss = -(both[0] + both[1]) / 2
    else:
        scores = []
        for tokens in batch.parts["instruction"].texts.buckets:
            assert tokens.labels is not None
            for ids, mask, labels in zip(tokens.input_ids, tokens.attention_mask, tokens.labels, strict=True):
                logits = model(ids[mask.bool()][None]).logits[0].log_softmax(-1)
                answer = labels[mask.bool()]
                scores += [logits[i - 1, answer[i]] for i in range(1, len(answer)) if answer[i] != -100]
        loss = -torch.stack(scores).mean()
    loss.backward()
    found = {n: p.grad.to_dense() for n, p in module.named_parameters() if p.grad is not None}
    return float(loss.detach()), {n: g.clone() for n, g in found.items() if g.any()}


def assert_same(
    found: tuple[float, dict[str, Tensor]], wanted: tuple[float, dict[str, Tensor]], tolerance: float
) -> None:
    assert found[0] == pytest.approx(wanted[0], rel=tolerance)
    assert set(found[1]) == set(wanted[1])
    largest = max(float(g.norm()) for g in wanted[1].values())
    for name, gradient in wanted[1].items():
        difference = float((found[1][name] - gradient).norm())
        assert difference <= tolerance * float(gradient.norm()) + tolerance * 0.1 * largest, name


@pytest.mark.parametrize("adapter", ["lora", "full"])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-5)])
def test_objectives_equal_the_plain_formulas(
    family: str, adapter: str, dtype: torch.dtype, tolerance: float, request: pytest.FixtureRequest
) -> None:
    """Truncated decoder, packed rows, fused adapters, chunked head, micro-batches: the same in float64."""
    config = small_config(f"adapter={adapter}", "loss.retention_weight=0", "loss.tau=0.5", "loss.queue=0")
    packed = packs_exactly(tiny_backbone(family))
    assert packed == (family != "bloom")
    fast, slow = (module_of(config, family, dtype) for _ in range(2))
    # XGLM makes a constant in the default type, which float64's lowest number does not fit.
    request.addfinalizer(lambda: torch.set_default_dtype(torch.float32))
    torch.set_default_dtype(dtype)
    with InFloat64() if dtype is torch.float64 else nullcontext():
        for name in ("contrastive", "instruction"):
            wanted = plain(slow, batches_of(config, slow)[0], name)
            for micro_batch in (None, 100):
                batch = batches_of(config, fast, arrangement=Arrangement(packed, micro_batch, widest=128))[0]
                assert_same(of_objective(fast, batch, name), wanted, tolerance)


@pytest.mark.parametrize("adapter", ["lora", "full"])
@pytest.mark.parametrize("family", ["xglm", "bloom", "llama", "gemma3_text"])
def test_checkpointed_activations_give_the_same_gradients(family: str, adapter: str) -> None:
    config = small_config(f"adapter={adapter}", "loss.retention_weight=0", "loss.queue=0")
    plainly, again = (module_of(config, family, torch.float32) for _ in range(2))
    again.backbone.checkpoint_activations()
    ran: list[int] = []
    block = getattr(again.backbone.model.get_decoder(), again.backbone.blocks_name)[0]
    next(block.children()).register_forward_pre_hook(lambda *_: ran.append(1))
    enter_training(again.backbone, dropout=False)
    for name in ("contrastive", "instruction"):
        passes = len(ran)
        batch = batches_of(config, again)[0]
        assert_same(of_objective(again, batch, name), of_objective(plainly, batch, name), 1e-6)
        assert len(ran) - passes == 2 * len(batch.parts[name].texts.buckets)


@pytest.mark.slow
def test_compiled_blocks_give_the_same_gradients() -> None:
    config = small_config("loss.retention_weight=0", "loss.queue=0")
    plainly, compiled = (module_of(config, "llama", torch.float32) for _ in range(2))
    compiled.backbone.compile_blocks()
    for name in ("contrastive", "instruction"):
        batch = batches_of(config, compiled, arrangement=PACKED)[0]
        assert_same(of_objective(compiled, batch, name), of_objective(plainly, batch, name), 1e-5)


@pytest.mark.parametrize("pooling", Pooling)
@pytest.mark.parametrize("family", ["llama", "gemma3_text"])
def test_packed_representations_are_those_of_padded_ones(family: str, pooling: Pooling) -> None:
    backbone = tiny_backbone(family).double()
    rows = encode(backbone.tokenizer, TEXTS * 3, 40)
    for arrangement in (PACKED, Arrangement(packed=True, micro_batch=64, widest=128)):
        batch = arrange(backbone.tokenizer, rows, arrangement=arrangement)
        together = torch.cat([backbone.represent(t, 3, pooling) for t in batch.buckets])[batch.order]
        alone = [
            backbone.represent(t, 3, pooling)
            for row in rows
            for t in arrange(backbone.tokenizer, [row], arrangement=Arrangement()).buckets
        ]
        torch.testing.assert_close(together, torch.cat(alone), rtol=1e-9, atol=1e-9)


def test_a_sentence_of_special_tokens_alone_is_zero() -> None:
    content = torch.tensor([[0, 1, 1, 0, 0, 1]])
    texts = torch.tensor([[0, 0, 0, 1, 2, 2]])
    hidden = torch.arange(12.0).view(1, 6, 2)
    packed = pool_packed(hidden, content, texts, Pooling.mean)
    assert packed.tolist() == [[3.0, 4.0], [0.0, 0.0], [10.0, 11.0]]
    assert torch.equal(packed[:1], pool(hidden[:, :3], content[:, :3], Pooling.mean))


def test_left_padding_gives_the_same_as_packing() -> None:
    backbone = tiny_backbone("llama").double()
    rows = encode(backbone.tokenizer, TEXTS[:3], 40)
    packed = arrange(backbone.tokenizer, rows, arrangement=PACKED)
    together = torch.cat([backbone.represent(t, 2, Pooling.mean) for t in packed.buckets])[packed.order]
    (right,) = arrange(backbone.tokenizer, rows, arrangement=Arrangement()).buckets
    shift = [int(n) for n in right.attention_mask.shape[1] - right.attention_mask.sum(1)]

    def moved(values: Tensor) -> Tensor:
        return torch.stack([row.roll(n) for row, n in zip(values, shift, strict=True)])

    left = Tokens(moved(right.input_ids), moved(right.attention_mask), moved(right.content_mask))
    order = torch.tensor(sorted(range(3), key=lambda i: -len(rows[i])))
    torch.testing.assert_close(backbone.represent(left, 2, Pooling.mean), together[order])


def test_an_adapter_on_the_head_takes_the_plain_way() -> None:
    config = small_config("adapter.target_modules='.*(q_proj|lm_head)'", "trainer.retention_tokens=8")
    module = module_of(config, "llama", torch.float32)
    assert module.backbone.plain_head() is None
    batch = batches_of(config, module)[0]
    loss, found = of_objective(module, batch, "instruction")
    assert any("lm_head" in name for name in found)
    backbone, parts = module.backbone, []
    for tokens in batch.parts["instruction"].texts.buckets:
        hidden = backbone.hidden_states(tokens, backbone.depth)[tokens.predicts]
        parts.append((hidden, tokens.labels_after(tokens.predicts)))
    wanted = sum(full_logits.cross_entropy(backbone.head(h), t) for h, t in parts)
    assert loss == pytest.approx(float(wanted) / sum(len(t) for _, t in parts), rel=1e-5)
    assert of_objective(module, batch, "retention")[0] > 0


def test_dropout_of_adapters_is_pefts() -> None:
    config = small_config("adapter.dropout=0.5")
    backbone = tiny_backbone("llama")
    adapters.attach(backbone, config.adapter)
    backbone.train()
    tokens = arrange(backbone.tokenizer, [[5, 6, 7]], arrangement=PACKED).buckets[0]
    with torch.no_grad():
        for name, parameter in backbone.named_parameters():
            if "lora_B" in name:
                parameter.fill_(1.0)
    first, second = (backbone.represent(tokens, 2, Pooling.mean) for _ in range(2))
    assert not torch.allclose(first, second)
