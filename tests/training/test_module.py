"""One step: which loss reaches which parameter, weights, clipping, ranks."""

import pytest
import torch
from training_helpers import batches_of, small_config, small_module

from xalign.data.step import Part, StepBatch
from xalign.distributed import collectives
from xalign.training.accumulate import accumulate
from xalign.training.module import AlignedModel

Gradient = dict[str, torch.Tensor]


def gradients_of(module: AlignedModel, batch: StepBatch, name: str) -> Gradient:
    module.zero_grad()
    accumulate(module.objectives[name], module.run(batch.step), batch.parts[name])
    collectives.sum_gradients(module.trained)
    return {n: p.grad.clone() for n, p in module.named_parameters() if p.grad is not None and p.grad.any()}


def loss_of(module: AlignedModel, part: Part, name: str) -> float:
    return accumulate(module.objectives[name], module.run(0), part)[0]


def test_contrastive_weight_0_gives_exactly_no_contrastive_gradient() -> None:
    config = small_config("loss.contrastive_weight=0")
    module = small_module(config)
    batch = batches_of(config, module)[0]
    assert set(batch.parts) == {"instruction", "retention"}
    assert set(module.objectives) == {"instruction", "retention"}


def test_contrastive_gradient_stops_at_the_layer() -> None:
    config = small_config("adapter=full", "loss.retention_weight=0", "model.depth=4")
    module = small_module(config)
    reached = gradients_of(module, batches_of(config, module)[0], "contrastive")
    assert any(".layers.1." in name for name in reached)
    assert not any(f".layers.{above}." in name for name in reached for above in (2, 3))
    assert not any("lm_head" in name or name.endswith("model.norm.weight") for name in reached)


def test_frozen_embeddings_stay() -> None:
    config = small_config("adapter=full_frozen_embeddings", "loss.retention_weight=0")
    module = small_module(config)
    for name in ("contrastive", "instruction"):
        reached = gradients_of(module, batches_of(config, module)[0], name)
        assert reached
        assert not any("embed" in n or "lm_head" in n for n in reached)


def test_retention_is_zero_at_the_start_and_only_then() -> None:
    config = small_config()
    module = small_module(config)
    part = batches_of(config, module)[0].parts["retention"]
    assert loss_of(module, part, "retention") == pytest.approx(0, abs=1e-5)
    with torch.no_grad():
        for parameter in module.trained:
            parameter.add_(0.05)
    assert loss_of(module, part, "retention") > 1e-4


def test_instruction_samples_do_not_see_each_other_and_none_is_dropped() -> None:
    """The batch's loss is that of every sample alone, weighted by its answer's length."""
    config = small_config()
    module = small_module(config)
    batches = batches_of(config, module)
    assert batches.material.instructions is not None
    samples = batches.material.instructions.batch(0, 4)
    together = loss_of(module, batches[0].parts["instruction"], "instruction")
    total = count = 0.0
    tokenizer = module.backbone.tokenizer
    for sample in samples:
        prompt = tokenizer(sample.prompt)["input_ids"]
        answer = [*tokenizer(sample.answer, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        logits = module.backbone.model(torch.tensor([prompt + answer])).logits[0]
        scores = logits.log_softmax(-1)[len(prompt) - 1 : -1]
        total -= float(scores[range(len(answer)), answer].sum())
        count += len(answer)
    assert together == pytest.approx(total / count, rel=1e-5)
