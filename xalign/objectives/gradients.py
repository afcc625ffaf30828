"""Gradients of several objectives, joined so that none swamps another.

A gradient is dense or, for an embedding table, sparse (COO, one entry a row): rows that no token touched
cost nothing. Every function takes both, also mixed, and gives what the dense tensors would. Of gradients that
are sharded over ranks each rank has its part, and all ranks must call.
"""

import functools
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel

from xalign import collectives

Gradients = list[Tensor | None]

PIECE = 2**22
"""Entries that are summed at a time."""


def use_sparse_embedding_gradients(model: PreTrainedModel) -> bool:
    """Let the table of input embeddings, where it is trained, have sparse gradients; whether it now does.

    Scaled embeddings (Gemma, XGLM) subclass `nn.Embedding` and keep the option. A tied head that is trained
    adds a dense gradient, and autograd then gives the dense sum: the same values either way. Tables of
    positions stay dense: they are small and mostly touched.
    """
    table = model.get_input_embeddings()
    if not isinstance(table, nn.Embedding) or not table.weight.requires_grad:
        return False
    table.sparse = True
    # A family whose own forward ignores the option is found by asking.
    with torch.enable_grad():
        first = table(torch.zeros(1, 1, dtype=torch.long, device=table.weight.device))
        table.sparse = torch.autograd.grad(first.sum(), table.weight)[0].is_sparse
    return table.sparse


def of(parameters: Iterable[nn.Parameter]) -> Gradients:
    """The parameters' gradients as backward passes left them, sparse ones with one entry a row."""
    return [_coalesced(p.grad) for p in parameters]


def norm(gradients: Gradients) -> Tensor:
    """Euclidean norm over all parameters (scalar, at least float32); missing gradients count as zero."""
    norms = [_norm(_entries(g)) for g in gradients if g is not None and not _is_sharded(g)]
    parts = [_norm(_entries(g)) for g in gradients if g is not None and _is_sharded(g)]
    if parts:
        norms.append(collectives.summed(torch.stack(parts).square().sum()).sqrt())
    return torch.stack(norms).norm() if norms else torch.zeros(())


def cosine(a: Gradients, b: Gradients) -> Tensor:
    """Cosine of two gradients over all parameters (scalar); 0 where one of them is zero."""
    pairs = [(x, y) for x, y in zip(a, b, strict=True) if x is not None and y is not None]
    dots = [_dot(x, y) for x, y in pairs if not _is_sharded(x)]
    parts = [_dot(collectives.local(x), collectives.local(y)) for x, y in pairs if _is_sharded(x)]
    if parts:
        dots.append(collectives.summed(torch.stack(parts).sum()))
    if not dots:
        return torch.zeros(())
    return torch.stack(dots).sum() / (norm(a) * norm(b)).clamp(min=1e-12)


def scale_(gradients: Gradients, factor: float | Tensor) -> None:
    """Multiply in place."""
    for g in gradients:
        if g is not None:
            # Of a sparse tensor the values: `mul_` on itself would forget that its rows are unique.
            entries = g._values() if g.is_sparse else collectives.local(g)
            entries.mul_(factor.to(entries.device) if isinstance(factor, Tensor) else factor)


def clip_(gradients: Gradients, max_norm: float) -> Tensor:
    """Scale down in place to at most `max_norm`; returns the norm before (Pascanu et al. 2013)."""
    before = norm(gradients)
    scale_(gradients, (max_norm / before.clamp(min=1e-12)).clamp(max=1.0))
    return before


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


def _coalesced(gradient: Tensor | None) -> Tensor | None:
    return gradient.coalesce() if gradient is not None and gradient.is_sparse else gradient


def _entries(gradient: Tensor) -> Tensor:
    return gradient.coalesce().values() if gradient.is_sparse else collectives.local(gradient)


def _is_sharded(gradient: Tensor) -> bool:
    return isinstance(gradient, DTensor)


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
