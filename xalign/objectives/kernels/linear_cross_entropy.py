"""Cross-entropy over the vocabulary, from hidden states and the head's weights; shapes as in `vocabulary`."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from xalign.objectives.kernels.vocabulary import Found, FromHead, Head, OnlineSum, Wants, add_product, applied


def linear_cross_entropy(
    hidden_SD: Tensor,
    weight_VD: Tensor,
    targets_S: Tensor,
    *,
    bias_V: Tensor | None = None,
    softcap: float | None = None,
) -> Tensor:
    """Cross-entropy (nats) of the targets, summed: `full_logits.cross_entropy` of the head's logits.

    Logits are hidden_SD @ weight_VD.T + bias_V, bounded by softcap * tanh(logits / softcap) (Gemma 2).
    Products are computed in the dtype of `hidden_SD`, autocast or not, all else in float32 (float64 for
    float64), as is the loss. Targets lie in [0, V): another makes the loss NaN. One backward pass only
    where the weight is trained.
    """
    with torch.autocast(hidden_SD.device.type, enabled=False):
        if not torch.is_grad_enabled():
            head = Head(hidden_SD, weight_VD, bias_V, softcap)
            return _cross_entropy(hidden_SD, head, targets_S, head.nothing(Wants(False, False, False))).loss
        return applied(_LinearCrossEntropy, hidden_SD, weight_VD, bias_V, softcap, targets_S)


@torch.no_grad()
def add_cross_entropy_gradients(
    hidden_SD: Tensor,
    weight_VD: Tensor,
    targets_S: Tensor,
    *,
    scale: float,
    bias_V: Tensor | None = None,
    softcap: float | None = None,
) -> tuple[Tensor, Tensor]:
    """`linear_cross_entropy`, and `scale` times its gradient by the hidden states (S, D), after `scale` times
    those of the head's weight and bias have been added to their `.grad`.

    For a head that is trained: however many micro-batches there are, one gradient as large as the vocabulary
    is held. Through autograd each would make its own, and a tied table, whose other gradient is sparse, would
    need a third in which they are added. The weight is a leaf, its gradient in its own dtype.
    """
    with torch.autocast(hidden_SD.device.type, enabled=False):
        head = Head(hidden_SD, weight_VD, bias_V, softcap)
        fresh = weight_VD.grad is None
        own_bias = bias_V if bias_V is not None and bias_V.requires_grad else None
        found = head.nothing(Wants(hidden=True, weight=fresh, bias=own_bias is not None))
        if weight_VD.grad is None:
            weight_VD.grad = found.weight
        elif weight_VD.grad.is_sparse:
            weight_VD.grad = weight_VD.grad.to_dense()
        found = found._replace(weight=weight_VD.grad)
        _cross_entropy(hidden_SD, head, targets_S, found, scale=scale, fresh=fresh)
    if own_bias is not None:
        assert found.bias is not None
        own_bias.grad = found.bias if own_bias.grad is None else own_bias.grad.add_(found.bias)
    assert found.hidden is not None
    return found.loss, found.hidden


def cross_entropies(
    hidden_SD: Tensor,
    weight_VD: Tensor,
    targets_S: Tensor,
    *,
    bias_V: Tensor | None = None,
    softcap: float | None = None,
) -> Tensor:
    """`linear_cross_entropy` of each position by itself (S,), for a head that is not trained."""
    assert not weight_VD.requires_grad or not torch.is_grad_enabled()
    with torch.autocast(hidden_SD.device.type, enabled=False):
        return applied(_CrossEntropies, hidden_SD, weight_VD, bias_V, softcap, targets_S)


class _CrossEntropies(torch.autograd.Function):
    """Each position's loss depends on its own hidden state alone: going backward scales a row each."""

    @staticmethod
    def forward(  # type: ignore[no-untyped-def]
        ctx: Any,
        hidden_SD: Tensor,
        weight_VD: Tensor,
        bias_V: Tensor | None,
        softcap: float | None,
        targets_S: Tensor,
    ):
        head = Head(hidden_SD, weight_VD, bias_V, softcap)
        found = head.nothing(Wants(ctx.needs_input_grad[0], False, False))
        each_S = hidden_SD.new_zeros(len(hidden_SD), dtype=head.exact)
        _cross_entropy(hidden_SD, head, targets_S, found, each_S=each_S)
        ctx.dtype = hidden_SD.dtype
        ctx.save_for_backward(found.hidden)
        return each_S

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, incoming_S: Tensor) -> tuple[Tensor | None, ...]:
        (gradient_SD,) = ctx.saved_tensors
        return (gradient_SD * incoming_S[:, None]).to(ctx.dtype), None, None, None, None


class _LinearCrossEntropy(FromHead):
    @staticmethod
    def forward(  # type: ignore[no-untyped-def]
        ctx: Any,
        hidden_SD: Tensor,
        weight_VD: Tensor,
        bias_V: Tensor | None,
        softcap: float | None,
        targets_S: Tensor,
    ):
        head = Head(hidden_SD, weight_VD, bias_V, softcap)
        found = head.nothing(Wants(*ctx.needs_input_grad[:3]))
        _cross_entropy(hidden_SD, head, targets_S, found)
        return FromHead.keep(ctx, found, hidden_SD, weight_VD, bias_V)


def _cross_entropy(
    hidden_SD: Tensor,
    head: Head,
    targets_S: Tensor,
    found: Found,
    *,
    scale: float = 1.0,
    fresh: bool = True,
    each_S: Tensor | None = None,
) -> Found:
    """Fills `found` with the loss and `scale` times its gradients; the weight's is added, unless `fresh`. If
    given, `each_S` is filled with the loss of each position.

    The target is kept apart from the other words, over which all sums run.

    With d = logsumexp(others) - target the loss is log(1 + e^d), and its gradient by the hidden state
    sigmoid(d) * (mean vector of the others, by their probabilities, - the target's vector). Nothing
    large is subtracted from its like where the model is all but sure, whatever products are rounded to.
    """
    keep = found.weight is not None or found.bias is not None
    for chunk in head.chunks(1, keep):
        hidden_RD, targets_R1 = hidden_SD[chunk], targets_S[chunk, None]
        rows = len(hidden_RD)
        others = OnlineSum.of(rows, hidden_RD, head.exact)
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
                add_product(mean_RD, product_RN, vectors_ND)
            largest.append(others.largest)
        total_R1 = others.total.clamp(min=torch.finfo(head.exact).tiny)  # of a vocabulary of one word
        distance_R1 = others.largest + total_R1.log() - target_R1
        loss_R1 = torch.logaddexp(distance_R1, torch.zeros_like(distance_R1))
        found.loss.add_(loss_R1.sum())
        if each_S is not None:
            each_S[chunk] = loss_R1[:, 0]
        weight_R1 = distance_R1.sigmoid() * scale  # of 1 - the target's probability
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
                add_product(found.weight[words], powers_NR, scaled_RD, fresh=fresh and chunk.start == 0)
            if found.bias is not None:
                found.bias[words] += powers_NR.to(head.exact) @ factor_R1[:, 0]
        if found.weight is not None:
            added_RD = (-target_weight_R1 * hidden_RD).to(found.weight.dtype)
            found.weight.index_add_(0, targets_R1[:, 0], added_RD)
        if found.bias is not None:
            found.bias.index_add_(0, targets_R1[:, 0], -target_weight_R1[:, 0])
    return found
