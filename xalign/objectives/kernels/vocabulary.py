"""What `linear_cross_entropy` and `linear_kl` share: losses without logits of all positions.

Exact: sums in another order, nothing left out. Loss and gradients are made together, a block of the
vocabulary at a time, so that logits are used while they are in the processor's cache. The way of adding up
exponentials is that of online softmax (Milakov & Gimelshein 2018) and FlashAttention (Dao et al. 2022,
algorithm 1), with the vocabulary in the place of the keys and values; the plain losses that this equals are
in `full_logits`.

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
    """A summed loss and its gradients, where wanted, in float32 (float64); the weight's in its dtype."""

    loss: Tensor
    hidden: Tensor | None
    weight: Tensor | None
    bias: Tensor | None


def applied(function: type[torch.autograd.Function], *inputs: object) -> Tensor:
    """`function.apply`, which torch leaves without a type."""
    loss: Tensor = function.apply(*inputs)
    return loss


class FromHead(torch.autograd.Function):
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
        return (*own, *(None for _ in ctx.needs_input_grad[3:]))


class Head:
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

    def logits(
        self, product_RN: Tensor, words: slice, *, into_place: bool = False, former: "Head | None" = None
    ) -> Tensor:
        """Logits (R, N) in float32 (float64); `into_place`: they may overwrite the products.

        `former`: the head of the first half of the rows.
        """
        if into_place and product_RN.dtype == self.exact:
            logits_RN = product_RN
        else:
            logits_RN = self.work[: product_RN.numel()].view_as(product_RN).copy_(product_RN)
        if former is None:
            self.add_bias(logits_RN, words)
        else:
            first_HN, second_HN = logits_RN.chunk(2)
            former.add_bias(first_HN, words)
            self.add_bias(second_HN, words)
        if self.softcap:
            logits_RN.div_(self.softcap).tanh_().mul_(self.softcap)
        return logits_RN

    def add_bias(self, logits_RN: Tensor, words: slice) -> None:
        """In place, where there is a bias."""
        if self.bias_V is not None:
            logits_RN += self.bias_V[words]

    def slope(self, logits: Tensor) -> Tensor | None:
        """The softcap's derivative, where there is one."""
        return 1 - (logits / self.softcap).square() if self.softcap else None

    def nothing(self, wants: Wants) -> Found:
        """Zero, and room for the gradients: the weight's is first written by `add_product`."""
        (size, width), exact, like = self.weight_VD.shape, self.exact, self.like
        weight = like.new_zeros if len(like) == 0 else like.new_empty
        return Found(
            like.new_zeros((), dtype=exact),
            like.new_zeros(like.shape, dtype=exact) if wants.hidden else None,
            weight(size, width, dtype=self.weight_VD.dtype) if wants.weight else None,
            like.new_zeros(size, dtype=exact) if wants.bias else None,
        )


@dataclass
class OnlineSum:
    """Of exponentials (R, 1), as exp(largest) * total: the largest logit so far, and the sum in its terms."""

    largest: Tensor
    total: Tensor
    scale: Tensor = field(init=False)
    """By which sums made before the latest block are to be multiplied."""

    @classmethod
    def of(cls, rows: int, like: Tensor, dtype: torch.dtype) -> "OnlineSum":
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


def add_product(into: Tensor, left: Tensor, right: Tensor, *, fresh: bool = False) -> None:
    """into += left @ right; `fresh`: `into` holds nothing yet."""
    if into.dtype == left.dtype:
        into.addmm_(left, right, beta=0 if fresh else 1)
    elif fresh:
        into.copy_(left @ right)
    else:
        into += left @ right
