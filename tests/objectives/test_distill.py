"""Self-distillation: translations move, the pivot stays, and the teacher gets no gradient."""

import torch
from cipher import OnCipher
from torch import Tensor

from xalign.objectives.base import Rows

DISTILL = ("loss=distill", "loss.retention_weight=0")


def moved(one: Tensor, other: Tensor) -> float:
    return float(((one - other).square().sum(1) / other.square().sum(1)).mean())


def test_translations_never_seen_move_to_where_the_pivot_was() -> None:
    model, shuffled = OnCipher(DISTILL), OnCipher(DISTILL, shuffled=True)
    taught = model.vectors("en")
    before = moved(model.vectors("fr"), taught)
    model.train(150)
    assert moved(model.vectors("fr"), taught) < before / 3
    assert moved(model.vectors("en"), taught) < before / 10
    assert model.retrieval() > 0.8
    assert shuffled.train(150).retrieval() < 0.2


def test_the_teacher_gets_no_gradient() -> None:
    objective = OnCipher(DISTILL).module.objectives["distill"]
    sides = [torch.randn(4, 64, generator=torch.Generator().manual_seed(k)).requires_grad_() for k in (0, 1)]
    loss, _ = objective.loss(sides, Rows(4, slice(None), {}))  # type: ignore[attr-defined]
    loss.backward()
    for side in sides:
        assert side.grad is not None
        assert side.grad[:, :32].any()
        assert not side.grad[:, 32:].any()
