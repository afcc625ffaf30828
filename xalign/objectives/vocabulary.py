"""Losses over the vocabulary, from hidden states and the head's weights, without logits of all positions.

Exact: sums in another order, nothing left out. Loss and gradients are made together, a block of the
vocabulary at a time, so that logits are used while they are in the processor's cache. The way of adding up
exponentials is that of online softmax (Milakov & Gimelshein 2018) and FlashAttention (Dao et al. 2022,
algorithm 1), with the vocabulary in the place of the keys and values; the plain losses that this equals are
in `instruction` and `retention`.

Shapes: S positions, R of them at a time, V vocabulary, N words of a block, D hidden size.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

LOGITS_AT_ONCE = {"cpu": 2**25, "cuda": 2**28}
"""Logits held at a time, for the KL of each side, where a gradient needs all words of a position.

128 positions of 262,144 words: with fewer the products are slower."""

BLOCK = {"cpu": 2**18, "cuda": 2**25}
"""Logits worked on at a time: 1 MiB in float32, the second level of a CPU's cache."""

ROWS = {"cpu": 1024, "cuda": 8192}
"""Positions at a time where no gradient needs all words of a position."""

FEWEST_WORDS = 512
"""Words of a block at least: products with fewer are slower."""


class Wants(NamedTuple):
    """What gradients are needed for."""

    hidden: bool
    weight: bool
    bias: bool


class Found(NamedTuple):
    """A summed loss and its gradients in float32 (float64), each where it is wanted."""

    loss: Tensor
    hidden: Tensor | None
    weight: Tensor | None
    bias: Tensor | None


def linear_cross_entropy(
    hidden_SD: Tensor,
    weight_VD: Tensor,
    targets_S: Tensor,
    *,
    bias_V: Tensor | None = None,
    softcap: float | None = None,
) -> Tensor:
    """Cross-entropy (nats) of the targets, summed: `answer_cross_entropy` of the head's logits.

    Logits are hidden_SD @ weight_VD.T + bias_V, bounded by softcap * tanh(logits / softcap) (Gemma 2).
    Products are computed in the dtype of `hidden_SD`, autocast or not, all else in float32 (float64 for
    float64), as is the loss. Targets lie in [0, V): another makes the loss NaN. One backward pass only
    where the weight is trained.
    """
    with torch.autocast(hidden_SD.device.type, enabled=False):
        if not torch.is_grad_enabled():
            head = _Head(hidden_SD, weight_VD, bias_V, softcap)
            return _cross_entropy(hidden_SD, head, targets_S, Wants(False, False, False)).loss
        return _apply(_LinearCrossEntropy, hidden_SD, weight_VD, bias_V, softcap, targets_S)


def linear_kl(
    before_SD: Tensor,
    now_SD: Tensor,
    weight_VD: Tensor,
    *,
    bias_V: Tensor | None = None,
    softcap: float | None = None,
) -> Tensor:
    """KL(before || now) of next-token distributions (nats), summed: `retention_kl` of the head's logits.

    Logits, dtypes and the number of backward passes as for `linear_cross_entropy`. No gradient through
    `before_SD` and what the head makes of it.
    """
    with torch.autocast(now_SD.device.type, enabled=False):
        before_SD = before_SD.to(now_SD.dtype)
        if not torch.is_grad_enabled():
            head = _Head(now_SD, weight_VD, bias_V, softcap)
            return _kl(before_SD, now_SD, head, Wants(False, False, False)).loss
        return _apply(_LinearKL, now_SD, weight_VD, bias_V, softcap, before_SD.detach())


def _apply(function: type[torch.autograd.Function], *inputs: object) -> Tensor:
    loss: Tensor = function.apply(*inputs)
    return loss


class _FromHead(torch.autograd.Function):
    """A loss whose gradients are made with it: going backward only scales them."""

    @staticmethod
    def keep(ctx: Any, found: Found, *inputs: Tensor | None) -> Tensor:
        ctx.dtypes = [None if i is None else i.dtype for i in inputs]
        ctx.save_for_backward(*found[1:])
        return found.loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:
        hidden_SD, weight_VD, bias_V = ctx.saved_tensors
        gradients = (
            None if hidden_SD is None else hidden_SD * scale,
            # In place, as it is as large as the model. A second backward pass raises: torch sees the change.
            None if weight_VD is None else weight_VD.mul_(scale),
            None if bias_V is None else bias_V * scale,
        )
        own = (None if g is None else g.to(d) for g, d in zip(gradients, ctx.dtypes, strict=True))
        return (*own, None, None)


class _LinearCrossEntropy(_FromHead):
    @staticmethod
    def forward(  # type: ignore[no-untyped-def]
        ctx: Any,
        hidden_SD: Tensor,
        weight_VD: Tensor,
        bias_V: Tensor | None,
        softcap: float | None,
        targets_S: Tensor,
    ):
        head = _Head(hidden_SD, weight_VD, bias_V, softcap)
        found = _cross_entropy(hidden_SD, head, targets_S, Wants(*ctx.needs_input_grad[:3]))
        return _FromHead.keep(ctx, found, hidden_SD, weight_VD, bias_V)


class _LinearKL(_FromHead):
    @staticmethod
    def forward(  # type: ignore[no-untyped-def]
        ctx: Any,
        now_SD: Tensor,
        weight_VD: Tensor,
        bias_V: Tensor | None,
        softcap: float | None,
        before_SD: Tensor,
    ):
        head = _Head(now_SD, weight_VD, bias_V, softcap)
        found = _kl(before_SD, now_SD, head, Wants(*ctx.needs_input_grad[:3]))
        return _FromHead.keep(ctx, found, now_SD, weight_VD, bias_V)


class _Head:
    """Words' vectors in the products' dtype, and the memory in which logits are made."""

    def __init__(
        self, hidden_SD: Tensor, weight_VD: Tensor, bias_V: Tensor | None, softcap: float | None
    ) -> None:
        self.dtype = hidden_SD.dtype
        self.exact = torch.float64 if self.dtype is torch.float64 else torch.float32
        self.weight_VD, self.bias_V, self.softcap = weight_VD, bias_V, softcap
        self.like = hidden_SD

    def chunks(self, sides: int, keep: bool) -> Iterator[slice]:
        """Positions to work on together; `keep` where all words' logits of them stay until the last."""
        (count, _), size = self.like.shape, len(self.weight_VD)
        kind = self.like.device.type if self.like.device.type in BLOCK else "cuda"
        most = max(1, LOGITS_AT_ONCE[kind] // size) if keep else ROWS[kind]
        rows = max(1, min(count, most))
        width = min(size, max(FEWEST_WORDS, BLOCK[kind] // (sides * rows)))
        self.blocks = [slice(first, min(first + width, size)) for first in range(0, size, width)]
        if rows < count or sides > 1:  # rounded once where words are looked at more than once
            self.weight_VD = self.weight_VD.to(self.dtype)
        self.kept = keep
        self.store = self.like.new_empty(sides * rows * (size if keep else width))
        self.work = self.like.new_empty(sides * rows * width, dtype=self.exact)
        for first in range(0, count, rows):
            yield slice(first, min(first + rows, count))

    def vectors(self, words: slice) -> Tensor:
        return self.weight_VD[words].to(self.dtype)

    def place(self, rows: int, words: slice) -> Tensor:
        """Where the products of R positions and N words are: (R, N)."""
        first = rows * words.start if self.kept else 0
        return self.store[first : first + rows * (words.stop - words.start)].view(rows, -1)

    def logits(self, product_RN: Tensor, words: slice, *, into_place: bool = False) -> Tensor:
        """Logits (R, N) in float32 (float64); `into_place`: they may overwrite the products."""
        if into_place and product_RN.dtype == self.exact:
            logits_RN = product_RN
        else:
            logits_RN = self.work[: product_RN.numel()].view_as(product_RN).copy_(product_RN)
        if self.bias_V is not None:
            logits_RN += self.bias_V[words]
        if self.softcap:
            logits_RN.div_(self.softcap).tanh_().mul_(self.softcap)
        return logits_RN

    def slope(self, logits: Tensor) -> Tensor | None:
        """The softcap's derivative, where there is one."""
        return 1 - (logits / self.softcap).square() if self.softcap else None

    def nothing(self, wants: Wants) -> Found:
        """Zero, and room for the gradients: the weight's is first written by `_add_product`."""
        (size, width), exact, like = self.weight_VD.shape, self.exact, self.like
        weight = like.new_zeros if len(like) == 0 else like.new_empty
        return Found(
            like.new_zeros((), dtype=exact),
            like.new_zeros(like.shape, dtype=exact) if wants.hidden else None,
            weight(size, width, dtype=exact) if wants.weight else None,
            like.new_zeros(size, dtype=exact) if wants.bias else None,
        )


@dataclass
class _OnlineSum:
    """Of exponentials (R, 1), as exp(largest) * total: the largest logit so far, and the sum in its terms."""

    largest: Tensor
    total: Tensor
    scale: Tensor = field(init=False)
    """By which sums made before the latest block are to be multiplied."""

    @classmethod
    def of(cls, rows: int, like: Tensor, dtype: torch.dtype) -> "_OnlineSum":
        # Not minus infinity: a block may hold nothing but the target, which is left out.
        lowest = like.new_full((rows, 1), torch.finfo(dtype).min, dtype=dtype)
        return cls(lowest, torch.zeros_like(lowest))

    def add_(self, logits_RN: Tensor) -> Tensor:
        """Take in a block's logits, which become their exponentials in the terms of the largest so far."""
        largest = torch.maximum(self.largest, logits_RN.amax(1, keepdim=True))
        self.scale = (self.largest - largest).exp_()
        self.largest = largest
        powers_RN = logits_RN.sub_(largest).exp_()
        self.total = self.total * self.scale + powers_RN.sum(1, keepdim=True)
        return powers_RN


def _add_product(into: Tensor, left: Tensor, right: Tensor, *, fresh: bool = False) -> None:
    """into += left @ right; `fresh`: `into` holds nothing yet."""
    if into.dtype == left.dtype:
        into.addmm_(left, right, beta=0 if fresh else 1)
    elif fresh:
        into.copy_(left @ right)
    else:
        into += left @ right


def _cross_entropy(hidden_SD: Tensor, head: _Head, targets_S: Tensor, wants: Wants) -> Found:
    """The target is kept apart from the other words, over which all sums run.

    With d = logsumexp(others) - target the loss is log(1 + e^d), and its gradient by the hidden state
    sigmoid(d) * (mean vector of the others, by their probabilities, - the target's vector). Nothing
    large is subtracted from its like where the model is all but sure, whatever products are rounded to.
    """
    found = head.nothing(wants)
    keep = wants.weight or wants.bias
    for chunk in head.chunks(1, keep):
        hidden_RD, targets_R1 = hidden_SD[chunk], targets_S[chunk, None]
        rows = len(hidden_RD)
        others = _OnlineSum.of(rows, hidden_RD, head.exact)
        target_R1 = torch.full_like(others.total, torch.nan)
        mean_RD = None if found.hidden is None else found.hidden[chunk]
        largest = []
        for words in head.blocks:
            vectors_ND = head.vectors(words)
            product_RN = torch.mm(hidden_RD, vectors_ND.T, out=head.place(rows, words))
            logits_RN = head.logits(product_RN, words, into_place=True)
            inside_R1 = (targets_R1 >= words.start) & (targets_R1 < words.stop)
            column_R1 = (targets_R1 - words.start).clamp(0, words.stop - words.start - 1)
            value_R1 = logits_RN.gather(1, column_R1)
            target_R1 = torch.where(inside_R1, value_R1, target_R1)
            slope_RN = head.slope(logits_RN)
            logits_RN.scatter_(1, column_R1, torch.where(inside_R1, -torch.inf, value_R1))
            powers_RN = others.add_(logits_RN)
            if slope_RN is not None:
                powers_RN *= slope_RN
            if powers_RN is not product_RN:
                product_RN.copy_(powers_RN)
            if mean_RD is not None:
                mean_RD *= others.scale
                _add_product(mean_RD, product_RN, vectors_ND)
            largest.append(others.largest)
        total_R1 = others.total.clamp(min=torch.finfo(head.exact).tiny)  # of a vocabulary of one word
        distance_R1 = others.largest + total_R1.log() - target_R1
        found.loss.add_(torch.logaddexp(distance_R1, torch.zeros_like(distance_R1)).sum())
        weight_R1 = distance_R1.sigmoid()  # 1 - the target's probability
        slope_R1 = head.slope(target_R1)
        target_weight_R1 = weight_R1 if slope_R1 is None else weight_R1 * slope_R1
        if mean_RD is not None:
            target_RD = head.weight_VD.index_select(0, targets_R1[:, 0]).to(head.dtype)
            mean_RD.mul_(weight_R1 / total_R1).sub_(target_weight_R1 * target_RD)
        if not keep:
            continue
        for words, reference_R1 in zip(head.blocks, largest, strict=True):
            factor_R1 = (reference_R1 - others.largest).exp_() * weight_R1 / total_R1
            powers_NR = head.place(rows, words).T
            if found.weight is not None:
                scaled_RD = (hidden_RD * factor_R1).to(head.dtype)
                _add_product(found.weight[words], powers_NR, scaled_RD, fresh=chunk.start == 0)
            if found.bias is not None:
                found.bias[words] += powers_NR.to(head.exact) @ factor_R1[:, 0]
        if found.weight is not None:
            found.weight.index_add_(0, targets_R1[:, 0], -target_weight_R1 * hidden_RD)
        if found.bias is not None:
            found.bias.index_add_(0, targets_R1[:, 0], -target_weight_R1[:, 0])
    return found


def _kl(before_SD: Tensor, now_SD: Tensor, head: _Head, wants: Wants) -> Found:
    """Logits of both sides are kept until the sums are known: probabilities differ little, and it is their
    difference that is rounded and multiplied."""
    found = head.nothing(wants)
    for chunk in head.chunks(2, any(wants)):
        both_RD = torch.cat([before_SD[chunk], now_SD[chunk]])
        rows, half = len(both_RD), len(both_RD) // 2
        sums = _OnlineSum.of(rows, both_RD, head.exact)
        excess_H1 = sums.total.new_zeros(half, 1)  # of the logits before, by the probabilities before
        for words in head.blocks:
            product_RN = torch.mm(both_RD, head.vectors(words).T, out=head.place(rows, words))
            logits_RN = head.logits(product_RN, words)
            difference_HN = logits_RN[:half] - logits_RN[half:]
            powers_RN = sums.add_(logits_RN)
            excess_H1 = excess_H1 * sums.scale[:half]
            excess_H1 += torch.linalg.vecdot(powers_RN[:half], difference_HN)[:, None]
        # What is large cancels before it is rounded.
        growth_H1 = sums.largest[half:] - sums.largest[:half] + (sums.total[half:] / sums.total[:half]).log()
        found.loss.add_((excess_H1 / sums.total[:half] + growth_H1).sum())
        if not any(wants):
            continue
        log_sums_R1 = sums.largest + sums.total.log()
        for words in head.blocks:
            logits_RN = head.logits(head.place(rows, words), words)
            slope_HN = head.slope(logits_RN[half:])
            before_HN, now_HN = logits_RN.sub_(log_sums_R1).exp_().split(half)
            change_HN = now_HN.sub_(before_HN)
            if slope_HN is not None:
                change_HN *= slope_HN
            rounded_HN = change_HN.to(head.dtype)
            if found.hidden is not None:
                _add_product(found.hidden[chunk], rounded_HN, head.vectors(words))
            if found.weight is not None:
                own_ND = found.weight[words]
                _add_product(own_ND, rounded_HN.T, both_RD[half:], fresh=chunk.start == 0)
            if found.bias is not None:
                found.bias[words] += change_HN.sum(0)
    return found
