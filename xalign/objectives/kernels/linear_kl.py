"""KL over the vocabulary, from hidden states and the head's weights; shapes as in `vocabulary`."""

from typing import Any

import torch
from torch import Tensor

from xalign.objectives.kernels.vocabulary import Found, FromHead, Head, OnlineSum, Wants, add_product, applied


def linear_kl(
    before_SD: Tensor,
    now_SD: Tensor,
    weight_VD: Tensor,
    *,
    bias_V: Tensor | None = None,
    softcap: float | None = None,
    before_head: tuple[Tensor, Tensor | None] | None = None,
) -> Tensor:
    """KL(before || now) of next-token distributions (nats), summed: `full_logits.kl` of the head's logits.

    Logits, dtypes and the number of backward passes as for `linear_cross_entropy`. No gradient through
    `before_SD` and what the head makes of it. `before_head` is the weight (V, D) and bias (V,) that turn
    `before_SD` into logits, where they are others than those of now.
    """
    with torch.autocast(now_SD.device.type, enabled=False):
        before_SD = before_SD.to(now_SD.dtype)
        former = None
        if before_head is not None:
            former = Head(before_SD, before_head[0].detach(), before_head[1], softcap)
        if not torch.is_grad_enabled():
            head = Head(now_SD, weight_VD, bias_V, softcap)
            return _kl(before_SD, now_SD, head, former, Wants(False, False, False)).loss
        return applied(_LinearKL, now_SD, weight_VD, bias_V, softcap, before_SD.detach(), former)


class _LinearKL(FromHead):
    @staticmethod
    def forward(  # type: ignore[no-untyped-def]
        ctx: Any,
        now_SD: Tensor,
        weight_VD: Tensor,
        bias_V: Tensor | None,
        softcap: float | None,
        before_SD: Tensor,
        former: Head | None,
    ):
        head = Head(now_SD, weight_VD, bias_V, softcap)
        found = _kl(before_SD, now_SD, head, former, Wants(*ctx.needs_input_grad[:3]))
        return FromHead.keep(ctx, found, now_SD, weight_VD, bias_V)


def _kl(before_SD: Tensor, now_SD: Tensor, head: Head, former: Head | None, wants: Wants) -> Found:
    """Logits of both sides are kept until the sums are known: probabilities differ little, and it is their
    difference that is rounded and multiplied."""
    found = head.nothing(wants)
    for chunk in head.chunks(2, any(wants)):
        both_RD = torch.cat([before_SD[chunk], now_SD[chunk]])
        rows, half = len(both_RD), len(both_RD) // 2
        sums = OnlineSum.of(rows, both_RD, head.exact)
        excess_H1 = sums.total.new_zeros(half, 1)  # of the logits before, by the probabilities before
        for words in head.blocks:
            product_RN = head.place(rows, words)
            if former is None:
                torch.mm(both_RD, head.vectors(words).T, out=product_RN)
            else:
                torch.mm(both_RD[:half], former.vectors(words).T, out=product_RN[:half])
                torch.mm(both_RD[half:], head.vectors(words).T, out=product_RN[half:])
            logits_RN = head.logits(product_RN, words, former=former)
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
            logits_RN = head.logits(head.place(rows, words), words, former=former)
            slope_HN = head.slope(logits_RN[half:])
            before_HN, now_HN = logits_RN.sub_(log_sums_R1).exp_().split(half)
            change_HN = now_HN.sub_(before_HN)
            if slope_HN is not None:
                change_HN *= slope_HN
            rounded_HN = change_HN.to(head.dtype)
            if found.hidden is not None:
                add_product(found.hidden[chunk], rounded_HN, head.vectors(words))
            if found.weight is not None:
                own_ND = found.weight[words]
                add_product(own_ND, rounded_HN.T, both_RD[half:], fresh=chunk.start == 0)
            if found.bias is not None:
                found.bias[words] += change_HN.sum(0)
    return found
