"""Gradients of several objectives, joined so that none swamps another.

A gradient is dense or, for an embedding table, sparse (COO, one entry a row): rows that no token touched
cost nothing. Every function takes both, also mixed, and gives what the dense tensors would. Of gradients that
are sharded over ranks each rank has its part, and all ranks must call.
"""

import functools
import math
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from xalign.distributed import collectives

Gradients = list[Tensor | None]

PIECE = 2**22
"""Entries that are summed at a time."""


def of(parameters: Iterable[nn.Parameter]) -> Gradients:
    """The parameters' gradients as backward passes left them, sparse ones with one entry a row."""
    return [_coalesced(p.grad) for p in parameters]


def norm(gradients: Gradients) -> Tensor:
    """Euclidean norm over all parameters (scalar, at least float32); missing gradients count as zero."""
    norms = [_norm(_entries(g)) for g in gradients if g is not None and not _is_sharded(g)]
    parts = [_norm(_entries(g)).square() / _copies(g) for g in gradients if isinstance(g, DTensor)]
    if parts:
        norms.append(collectives.summed(torch.stack(parts).sum()).sqrt())
    return torch.stack(_together(norms)).norm() if norms else torch.zeros(())


def dot(a: Gradients, b: Gradients) -> Tensor:
    """Scalar product of two gradients over all parameters (scalar)."""
    pairs = [(x, y) for x, y in zip(a, b, strict=True) if x is not None and y is not None]
    dots = [_dot(x, y) for x, y in pairs if not _is_sharded(x)]
    parts = [
        _dot(collectives.local(x), collectives.local(y)) / _copies(x)
        for x, y in pairs
        if isinstance(x, DTensor)
    ]
    if parts:
        dots.append(collectives.summed(torch.stack(parts).sum()))
    return torch.stack(_together(dots)).sum() if dots else torch.zeros(())


def cosine(a: Gradients, b: Gradients) -> Tensor:
    """Cosine of two gradients over all parameters (scalar); 0 where one of them is zero."""
    return dot(a, b) / (norm(a) * norm(b)).clamp(min=1e-12)


def scale_(gradients: Gradients, factor: float | Tensor) -> None:
    """Multiply in place."""
    for g in gradients:
        if g is not None:
            # Of a sparse tensor the values: `mul_` on itself would forget that its rows are unique.
            entries = g._values() if g.is_sparse else collectives.local(g)
            entries.mul_(factor.to(entries.device) if isinstance(factor, Tensor) else factor)


def add_multiple_(into: Gradients, other: Gradients, factor: float) -> None:
    """into += factor * other, in place; dense where one of a parameter's two gradients is."""
    for index, (own, added) in enumerate(zip(into, other, strict=True)):
        if added is None:
            continue
        if own is None:
            into[index] = added * factor
        elif own.is_sparse and not added.is_sparse:
            into[index] = _coalesced(added * factor + own)
        else:
            into[index] = _coalesced(own.add_(added, alpha=factor))


def add_(parts: Sequence[Gradients]) -> Gradients:
    """Sum of gradients, parameter by parameter; dense where one of a parameter's gradients is.

    The parts are used up: dense gradients are summed into the first of them.
    """
    total: Gradients = []
    for column in zip(*parts, strict=True):
        # torch adds sparse to dense, but not dense to sparse.
        present = sorted((g for g in column if g is not None), key=lambda g: g.is_sparse)
        total.append(_coalesced(functools.reduce(torch.Tensor.add_, present)) if present else None)
    return total


def _together(scalars: Sequence[Tensor]) -> list[Tensor]:
    """The scalars on one device: with `strategy.cpu_offload` shards are elsewhere than what is whole."""
    return [scalar.to(scalars[0].device) for scalar in scalars]


def _coalesced(gradient: Tensor | None) -> Tensor | None:
    return gradient.coalesce() if gradient is not None and gradient.is_sparse else gradient


def _entries(gradient: Tensor) -> Tensor:
    return gradient.coalesce().values() if gradient.is_sparse else collectives.local(gradient)


def _is_sharded(gradient: Tensor) -> bool:
    return isinstance(gradient, DTensor)


def _copies(gradient: DTensor) -> int:
    """Ranks that hold the same part of a sharded gradient: more than one with hybrid sharding."""
    sizes = [gradient.device_mesh.size(d) for d, p in enumerate(gradient.placements) if p.is_replicate()]
    return math.prod(sizes)


def _norm(entries: Tensor) -> Tensor:
    return torch.stack([piece.norm() for piece in _pieces(entries)]).norm()


def _dot(x: Tensor, y: Tensor) -> Tensor:
    if x.is_sparse and y.is_sparse:
        products = (x.coalesce() * y.coalesce()).coalesce().values()
        return torch.stack([piece.sum() for piece in _pieces(products)]).sum()
    if y.is_sparse:
        x, y = y, x
    if x.is_sparse:
        x = x.coalesce()
        x, y = x.values(), y.index_select(0, x.indices()[0])
    return torch.stack([a.dot(b) for a, b in zip(_pieces(x), _pieces(y), strict=True)]).sum()


def _pieces(entries: Tensor) -> Iterator[Tensor]:
    """The entries, flat, in float32 at least: sums are not rounded to bf16, and no copy is as large."""
    dtype = torch.promote_types(entries.dtype, torch.float32)
    return (piece.to(dtype) for piece in entries.reshape(-1).split(PIECE))
