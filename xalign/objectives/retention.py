"""Retention: stay close to the model before training, where no answer is taught. S positions, V words."""

import torch.nn.functional as F
from torch import Tensor


def retention_kl(before_SV: Tensor, now_SV: Tensor) -> Tensor:
    """KL(before || now) of next-token distributions (nats), summed over positions, in float32.

    Learning without forgetting (Li & Hoiem 2016, section 3) with the model itself as teacher. It
    sees the teacher's whole distribution, so a few hundred positions a step hold the language model
    in place while its middle layers move.
    """
    before_SV = before_SV.float().log_softmax(-1)
    # Cross-entropy less entropy: one large tensor fewer than kl_div makes.
    probability_SV = before_SV.exp()
    entropy = -(probability_SV.flatten() @ before_SV.flatten())
    return F.cross_entropy(now_SV.float(), probability_SV, reduction="sum") - entropy
