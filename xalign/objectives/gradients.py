"""Joining the gradients of several objectives so that none swamps another."""

from collections.abc import Sequence

import torch
from torch import Tensor

Gradients = list[Tensor | None]


def norm(gradients: Gradients) -> Tensor:
    """Euclidean norm over all parameters (scalar, float32); missing gradients count as zero."""
    norms = [g.norm().float() for g in gradients if g is not None]
    return torch.stack(norms).norm() if norms else torch.zeros(())


def cosine(a: Gradients, b: Gradients) -> Tensor:
    """Cosine of two gradients over all parameters (scalar); 0 where one of them is zero."""
    dots = [(x * y).sum().float() for x, y in zip(a, b, strict=True) if x is not None and y is not None]
    if not dots:
        return torch.zeros(())
    return torch.stack(dots).sum() / (norm(a) * norm(b)).clamp(min=1e-12)


def scale_(gradients: Gradients, factor: float | Tensor) -> None:
    """Multiply in place."""
    for g in gradients:
        if g is not None:
            g.mul_(factor)


def clip_(gradients: Gradients, max_norm: float) -> Tensor:
    """Scale down in place to at most `max_norm`; returns the norm before (Pascanu et al. 2013)."""
    before = norm(gradients)
    scale_(gradients, (max_norm / before.clamp(min=1e-12)).clamp(max=1.0))
    return before


def add(parts: Sequence[Gradients]) -> Gradients:
    """Sum of gradients, parameter by parameter."""
    total: Gradients = []
    for column in zip(*parts, strict=True):
        present = [g for g in column if g is not None]
        total.append(sum(present[1:], start=present[0]) if present else None)
    return total
