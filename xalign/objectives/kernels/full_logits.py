"""Losses over the vocabulary from logits of every word: what the fused kernels equal, and what a head that is
more than a matrix takes. S positions, V words."""

import torch.nn.functional as F
from torch import Tensor


def cross_entropy(logits_SV: Tensor, targets_S: Tensor) -> Tensor:
    """Cross-entropy (nats) of the targets, summed over positions, in float32."""
    return F.cross_entropy(logits_SV.float(), targets_S, reduction="sum")


def kl(before_SV: Tensor, now_SV: Tensor) -> Tensor:
    """KL(before || now) of next-token distributions (nats), summed over positions, in float32."""
    before_SV = before_SV.float().log_softmax(-1)
    # Cross-entropy less entropy: one large tensor fewer than kl_div makes.
    probability_SV = before_SV.exp()
    entropy = -(probability_SV.flatten() @ before_SV.flatten())
    return F.cross_entropy(now_SV.float(), probability_SV, reduction="sum") - entropy
