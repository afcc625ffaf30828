"""InfoNCE between the sentences of translation pairs, in blocks.

Shapes: N pairs in the global batch, n of them on this rank, b of these in a block, Q past pairs, M = N + Q
candidates, D hidden size.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from xalign.config.choices import Centering

# Similarities held at a time: few enough to stay in a processor's cache, one block up to 1,024 pairs.
BLOCK = 2**20


@dataclass(frozen=True)
class Negatives:
    """Past pairs, without gradient: `unit_vectors` of both sides (Q, D) and their keys (Q,)."""

    source: Tensor
    target: Tensor
    source_keys: Tensor
    target_keys: Tensor


def centre(vectors_ND: Tensor, groups_N: Tensor) -> Tensor:
    """Subtract from each vector (N, D) the mean of its group (N,), with gradient through the mean.

    A language's own offset makes every raw cosine near 1; without removing it the first steps only
    inflate the scale (measurements: experiments/recipe).
    """
    numbers_N = groups_N.unique(return_inverse=True)[1]
    # A product, not index_add: on a GPU that adds in another order each time.
    member_NG = F.one_hot(numbers_N).to(vectors_ND.dtype)
    means_GD = member_NG.T @ vectors_ND / member_NG.sum(0)[:, None]
    return vectors_ND - member_NG @ means_GD


def unit_vectors(vectors_ND: Tensor, groups_N: Tensor, centering: Centering) -> Tensor:
    """What InfoNCE compares: vectors (N, D) of one side, centred if so chosen, of length 1."""
    if centering is Centering.language:
        vectors_ND = centre(vectors_ND, groups_N)
    return F.normalize(vectors_ND, dim=-1)


def info_nce(
    source_ND: Tensor,
    target_ND: Tensor,
    *,
    groups_N: Tensor,
    source_keys_N: Tensor,
    target_keys_N: Tensor,
    tau: float,
    symmetric: bool,
    centering: Centering,
    rows: slice = slice(None),
    past: Negatives | None = None,
) -> tuple[Tensor, Tensor]:
    """InfoNCE of the rows `rows` against the whole batch, summed over them, and the hits among them.

    L = -sum_i log( exp(s(x_i, y_i) / tau) / sum_j exp(s(x_i, y_j) / tau) ), s the cosine similarity
    (Li et al., NAACL 2024, equation 1; van den Oord et al. 2018). One direction is source to target;
    `symmetric` averages both. Divide by N for the mean. Memory grows with N, not with N^2.

    Args:
        source_ND: pivot sentences, (N, D).
        target_ND: their translations, (N, D).
        groups_N: language pair of each row; with `Centering.language` each side loses its group's mean.
        source_keys_N: equal numbers mark equal source texts: such false negatives leave the denominator.
        target_keys_N: the same for target texts.
        tau: temperature.
        symmetric: average both directions.
        centering: what is subtracted before the cosine.
        rows: this rank's rows; all of them on one rank.
        past: further negatives, which get no gradient; false ones leave the denominator too.

    Returns:
        The summed loss (scalar) and, detached, the number of rows whose translation is the nearest of all
        candidates (scalar). The gradient cannot be differentiated again.
    """
    source_ND = unit_vectors(source_ND, groups_N, centering)
    target_ND = unit_vectors(target_ND, groups_N, centering)
    duplicates = _Duplicates(source_keys_N, target_keys_N, past)
    with_gradient = torch.is_grad_enabled() and (source_ND.requires_grad or target_ND.requires_grad)
    with torch.no_grad():
        loss, hits, gradients = _in_blocks(
            source_ND, target_ND, past, duplicates, tau, symmetric, rows, with_gradient
        )
    if with_gradient:
        loss = _WithGradients.apply(loss, *gradients, source_ND, target_ND)
    return loss, hits


class _WithGradients(torch.autograd.Function):
    """The loss with its gradients, which were computed beside it: the similarities are made only once."""

    @staticmethod
    def forward(
        ctx: Any, loss: Tensor, d_source_ND: Tensor, d_target_ND: Tensor, source_ND: Tensor, target_ND: Tensor
    ) -> Tensor:
        ctx.save_for_backward(d_source_ND, d_target_ND)
        return loss.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:
        d_source_ND, d_target_ND = ctx.saved_tensors
        return None, None, None, scale * d_source_ND, scale * d_target_ND


def _in_blocks(
    source_ND: Tensor,
    target_ND: Tensor,
    past: Negatives | None,
    duplicates: "_Duplicates",
    tau: float,
    symmetric: bool,
    rows: slice,
    with_gradient: bool,
) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """Loss, hits and the gradients of both sides' unit vectors, a block of rows at a time."""
    count, sides = len(source_ND), (source_ND, target_ND)
    directions = [(0, 1), (1, 0)] if symmetric else [(0, 1)]
    candidates = sides
    if past is not None:
        candidates = torch.cat([source_ND, past.source]), torch.cat([target_ND, past.target])
    gradients = tuple(torch.zeros_like(side) for side in sides) if with_gradient else ()
    loss, hits = source_ND.new_zeros(()), torch.zeros((), dtype=torch.long, device=source_ND.device)
    first, last, _ = rows.indices(count)
    size = max(1, BLOCK // len(candidates[0]))
    for start in range(first, last, size):
        block = slice(start, min(start + size, last))
        masked = duplicates.of(block)
        for here, there in directions:
            anchors_bD = sides[here][block]
            logits_bM = torch.addmm(loss, anchors_bD, candidates[there].T, beta=0, alpha=1 / tau)
            if masked is not None:
                chosen_r, duplicate_rM = masked
                logits_bM[chosen_r] = logits_bM[chosen_r].masked_fill(duplicate_rM, -torch.inf)
            largest_b, nearest_b = logits_bM.max(1)
            if here == 0:
                hits += (nearest_b == torch.arange(block.start, block.stop, device=hits.device)).sum()
            positive_b = logits_bM.diagonal(start) - largest_b  # row r belongs to column start + r
            # From here on e^(logit - largest) of the negatives, in the same memory. Without the positive
            # in their sum, small losses and gradients keep all their digits.
            weights_bM = logits_bM.sub_(largest_b[:, None]).exp_()
            weights_bM.diagonal(start).zero_()
            negative_b = weights_bM.sum(1)
            loss += ((negative_b + positive_b.expm1()).log1p() - positive_b).sum()
            if with_gradient:
                # d loss / d logits = softmax - one-hot; weights lack only the softmax's denominator.
                weights_bM.diagonal(start).sub_(negative_b)
                scale_b1 = (negative_b + positive_b.exp())[:, None] * (tau * len(directions))
                gradients[here][block] += weights_bM @ candidates[there] / scale_b1
                gradients[there].addmm_(weights_bM[:, :count].T, anchors_bD / scale_b1)
    return loss / len(directions), hits, gradients


class _Duplicates:
    """Which candidates are false negatives: other pairs with an equal source or target text."""

    def __init__(self, source_keys_N: Tensor, target_keys_N: Tensor, past: Negatives | None) -> None:
        self.keys = source_keys_N, target_keys_N
        if past is not None:
            self.keys = (
                torch.cat([source_keys_N, past.source_keys]),
                torch.cat([target_keys_N, past.target_keys]),
            )
        # Nearly all rows have none: comparing only the others with all saves M comparisons a row.
        self.repeated_M = _repeated(self.keys[0]) | _repeated(self.keys[1])

    def of(self, block: slice) -> tuple[Tensor, Tensor] | None:
        """The block's rows that have duplicates (r,), and which candidates these are (r, M)."""
        chosen_r = self.repeated_M[block].nonzero()[:, 0]
        if not len(chosen_r):
            return None
        own_r = chosen_r + block.start
        source_M, target_M = self.keys
        duplicate_rM = (source_M[own_r, None] == source_M) | (target_M[own_r, None] == target_M)
        duplicate_rM[torch.arange(len(own_r), device=own_r.device), own_r] = False
        return chosen_r, duplicate_rM


def _repeated(keys_M: Tensor) -> Tensor:
    """Which keys occur more than once (M,)."""
    _, number_M, counts = keys_M.unique(return_inverse=True, return_counts=True)
    return counts[number_M] > 1
