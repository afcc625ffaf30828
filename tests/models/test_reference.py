"""The model before training, as retention and distillation run it: whatever is trained, in whatever mode."""

import pytest
import torch
from tiny import tiny_backbone
from torch import Tensor
from training_helpers import batches_of, small_config, small_module

from xalign.config.parts import AdapterConfig
from xalign.data.collate import tokenize
from xalign.models import adapters
from xalign.models.adapters import ADAPTERS
from xalign.models.adapters.base import Adapter
from xalign.models.backbone import Backbone, evaluating
from xalign.models.dropout import enter_training
from xalign.models.reference import FrozenCopy
from xalign.training.accumulate import accumulate
from xalign.training.module import AlignedModel

TEXTS = ["One sentence", "Another one, which is longer", "A third"]
METHODS = ("lora", "full", "full_frozen_embeddings")


def config_of(method: str, dropout: float = 0.0) -> AdapterConfig:
    options = {"r": 4, "dropout": dropout} if method == "lora" else {}
    return ADAPTERS.load(method).Config(method=method, **options)


def final_states(backbone: Backbone) -> Tensor:
    return backbone.hidden_states(tokenize(backbone.tokenizer, TEXTS, 32), backbone.depth)


def change(adapter: Adapter) -> None:
    """As if it had been trained."""
    with torch.no_grad():
        for parameter in adapter.backbone.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", ["xglm", "gpt2", "llama", "gemma3_text"])
def test_it_computes_what_the_model_did_before_training(family: str, method: str) -> None:
    """Also while the model and its adapters drop out."""
    backbone = tiny_backbone(family)
    with torch.no_grad():
        wanted, logits = final_states(backbone), backbone.head(final_states(backbone)[0])
    adapter = adapters.attach(backbone, config_of(method, 0.5))
    reference = adapter.reference()
    change(adapter)
    enter_training(backbone, dropout=True)
    before = {name: part.training for name, part in backbone.named_modules()}
    with reference.running() as former:
        found = final_states(former)
        torch.testing.assert_close(found, wanted)
        torch.testing.assert_close(former.head(found[0]), logits)
        assert not found.requires_grad
    assert {name: part.training for name, part in backbone.named_modules()} == before
    assert not torch.allclose(final_states(backbone), wanted)


@pytest.mark.parametrize("method", METHODS)
def test_memory_is_that_of_what_is_trained(method: str) -> None:
    backbone = tiny_backbone("llama", tie_word_embeddings=True)
    whole = sum(p.numel() for p in backbone.parameters())
    table = backbone.model.get_input_embeddings().weight.numel()
    reference = adapters.attach(backbone, config_of(method)).reference()
    copied = sum(p.numel() for p in reference.copies())
    assert copied == {"lora": 0, "full": whole, "full_frozen_embeddings": whole - table}[method]


def test_in_low_arithmetic_the_copy_is_rounded_as_the_products_are() -> None:
    backbone = tiny_backbone("llama")
    backbone.compute_dtype = torch.bfloat16
    with torch.no_grad():
        wanted = final_states(backbone)
    reference = adapters.attach(backbone, config_of("full")).reference()
    assert isinstance(reference, FrozenCopy)
    with reference.running() as former:
        assert torch.equal(final_states(former), wanted)
    matrices = [p for p in reference.copies() if p.ndim == 2 and p.shape[0] != 260]
    assert matrices
    assert all(p.dtype is torch.bfloat16 for p in matrices)


def retained(module: AlignedModel, overrides: tuple[str, ...] = ()) -> tuple[float, dict[str, Tensor]]:
    """The retention loss and its gradients, all else being left out."""
    module.zero_grad()
    part = batches_of(module.config, module)[0].parts["retention"]
    value, _ = accumulate(module.objectives["retention"], module.run(0), part)
    found = {n: p.grad.to_dense().clone() for n, p in module.named_parameters() if p.grad is not None}
    return value, found


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", ["xglm", "llama", "gemma2"])
def test_retention_is_zero_at_the_start_whatever_is_trained(family: str, method: str) -> None:
    """In training: XGLM drops out, and with its dropout on, the model is held to what it is without."""
    module = small_module(small_config(f"adapter={method}"), family)
    assert retained(module)[0] == pytest.approx(0, abs=1e-5)
    change(module.adapter)
    assert retained(module)[0] > 1e-4


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt_neo"])
def test_retention_of_a_trained_head_equals_the_plain_formula(family: str, method: str) -> None:
    """KL from the logits of a model that was never touched: value and gradient, head and softcap included."""
    config = small_config(f"adapter={method}")
    module, untouched = small_module(config, family), tiny_backbone(family)
    change(module.adapter)
    value, found = retained(module)
    module.zero_grad()
    backbone, part = module.backbone, batches_of(config, module)[0].parts["retention"]
    chosen = module.objectives["retention"].positions(module.run(0), part)  # type: ignore[attr-defined]
    losses = []
    for tokens, mask in zip(part.texts.buckets, chosen, strict=True):
        with evaluating(untouched):
            before = untouched.head(untouched.hidden_states(tokens, untouched.depth)[mask]).log_softmax(-1)
        now = backbone.head(backbone.hidden_states(tokens, backbone.depth)[mask]).log_softmax(-1)
        losses.append((before.exp() * (before - now)).sum())
    loss = torch.stack(losses).sum() / sum(int(mask.sum()) for mask in chosen)
    loss.backward()
    assert value == pytest.approx(float(loss.detach()), rel=1e-4)
    wanted = {n: p.grad.to_dense() for n, p in module.named_parameters() if p.grad is not None}
    assert found.keys() == wanted.keys()
    errors, sizes = (
        torch.stack([g.norm() for g in own])
        for own in ([found[n] - g for n, g in wanted.items()], wanted.values())
    )
    assert float(errors.norm()) < 1e-4 * float(sizes.norm())
