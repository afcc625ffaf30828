"""Pooling: from the hidden states of a sentence's tokens to one vector, wherever they stand in a row.

Shapes: B rows (of one sentence each, or of several), T tokens, N sentences, D hidden size.
`content_BT` is 1 on the tokens of the sentence itself and 0 on padding and special tokens. A
beginning-of-sequence token draws most attention and has a huge norm (an attention sink): averaged in,
it hides the sentence.
"""

import torch
from torch import Tensor

from xalign.config.choices import Pooling


def pool(hidden_BTD: Tensor, content_BT: Tensor, pooling: Pooling) -> Tensor:
    """Pool hidden states (B, T, D) over content tokens (B, T) into float32 vectors (B, D).

    `mean` weighs content tokens alike; `weighted_mean` weighs the t-th content token by t / sum(1..n)
    (MEXA, Kargaran et al. 2024, section 3; Muennighoff 2022, SGPT, equation 3); `last` takes the last.
    A row without content gives zeros.
    """
    content_BT = content_BT.long()
    # Rank of a token among the sentence's content tokens, 1 for the first: padding cannot shift it.
    rank_BT = content_BT.cumsum(1) * content_BT
    weights_BT = _weights(rank_BT, content_BT.sum(1, keepdim=True), pooling)
    weights_BT = weights_BT / weights_BT.sum(1, keepdim=True).clamp(min=1)
    # Not a matrix product: autocast would compute that in bf16.
    return (_full(hidden_BTD) * weights_BT[:, :, None]).sum(1)


def pool_packed(hidden_BTD: Tensor, content_BT: Tensor, texts_BT: Tensor, pooling: Pooling) -> Tensor:
    """The same for rows of several sentences, numbered by `texts_BT` as they stand (-1: padding): (N, D)."""
    inside_P = texts_BT.flatten() >= 0
    hidden_PD = _full(hidden_BTD.flatten(0, 1)[inside_P])
    owner_P, content_P = texts_BT.flatten()[inside_P], content_BT.flatten()[inside_P].long()
    count_N = content_P.new_zeros(int(owner_P[-1]) + 1).index_add(0, owner_P, content_P)
    before_N = count_N.cumsum(0) - count_N
    rank_P = (content_P.cumsum(0) - before_N[owner_P]) * content_P
    weights_P = _weights(rank_P, count_N[owner_P], pooling)
    total_N = weights_P.new_zeros(len(count_N)).index_add(0, owner_P, weights_P).clamp(min=1)
    weighted_PD = hidden_PD * (weights_P / total_N[owner_P])[:, None]
    return weighted_PD.new_zeros(len(count_N), weighted_PD.shape[1]).index_add(0, owner_P, weighted_PD)


def _full(hidden: Tensor) -> Tensor:
    return hidden.to(torch.promote_types(hidden.dtype, torch.float32))


def _weights(rank: Tensor, count: Tensor, pooling: Pooling) -> Tensor:
    """Not yet normalised, from a token's rank among its sentence's content tokens, 0 for all others."""
    match pooling:
        case Pooling.mean:
            return (rank > 0).float()
        case Pooling.weighted_mean:
            return rank.float()
        case Pooling.last:
            return ((rank == count) & (rank > 0)).float()
