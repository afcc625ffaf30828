"""Rows of embedding tables for pieces that a tokenizer has gained: pure functions, in float64.

Every function takes old rows and gives rows for the new pieces only, so the old rows of a table stay as they
are. A model with an untied head calls one twice, once for each table.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize


def mean_rows(old_rows: Tensor, pieces: Sequence[Sequence[int]]) -> Tensor:
    """Means of the rows of the old pieces that each new one was written with.

    `old_rows`: (old, width); `pieces`: for each new piece its ids in the old tokenizer. Returns (new, width),
    float64. Raises ValueError where a new piece has no old pieces: it would have no row.
    """
    for place, ids in enumerate(pieces):
        if not ids:
            raise ValueError(f"new piece {place} has no pieces in the old tokenizer")
    if not pieces:
        return old_rows.new_zeros((0, old_rows.shape[1]), dtype=torch.float64)
    return torch.stack([old_rows[list(ids)].double().mean(dim=0) for ids in pieces])


def nearest_rows(
    old_rows: Tensor, old_vectors: Tensor, new_vectors: Tensor, neighbours: int = 10, temperature: float = 0.1
) -> Tensor:
    """Rows of the old pieces nearest by word vectors, by softmax(cosine / temperature): OFA, 2311.08849.

    `old_rows`: (old, width); `old_vectors`: (old, size), `new_vectors`: (new, size), of one space. Old pieces
    whose vector is zero have no meaning there and are no one's neighbours. Returns (new, width), float64.
    Raises ValueError where no old piece has a vector, or a new one has none: its cosines say nothing.
    """
    known = old_vectors.ne(0).any(dim=1)
    if not known.any():
        raise ValueError("no old piece has a word vector")
    if not new_vectors.ne(0).any(dim=1).all():
        raise ValueError("a new piece has no word vector")
    cosines = normalize(new_vectors.double(), dim=1) @ normalize(old_vectors[known].double(), dim=1).T
    best, places = cosines.topk(min(neighbours, cosines.shape[1]), dim=1)
    weights = (best / temperature).softmax(dim=1)
    return torch.einsum("nk,nkw->nw", weights, old_rows[known].double()[places])


def propagated_rows(adapted_old: Tensor, instruct_old: Tensor, adapted_new: Tensor) -> Tensor:
    """Rows of an adapted base model carried to an instruct model by a linear map (LEP, 2412.21140).

    The map, (width, width), is the least-squares answer to `adapted_old @ map = instruct_old`, of least norm
    where the old pieces leave it open. `adapted_old`, `instruct_old`: (old, width), the same pieces in one
    order; `adapted_new`: (new, width). Returns (new, width), float64.
    """
    # gelsd, by singular values: the other drivers assume full rank, which tables of few pieces do not have.
    solved = torch.linalg.lstsq(
        adapted_old.double().cpu(), instruct_old.double().cpu(), driver="gelsd"
    ).solution
    return adapted_new.double() @ solved.to(adapted_new.device)
