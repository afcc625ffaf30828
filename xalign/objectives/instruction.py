"""Cross-lingual instruction following: next-token cross-entropy on answers. S supervised positions."""

import torch.nn.functional as F
from torch import Tensor


def answer_cross_entropy(logits_SV: Tensor, targets_S: Tensor) -> Tensor:
    """Cross-entropy (nats) summed over supervised positions, in float32.

    Logits (S, V) are those that predict the answer's tokens and the end of sequence (S,), nothing
    else (Li et al., NAACL 2024, equation 3). Divide by the global number of such positions.
    """
    return F.cross_entropy(logits_SV.float(), targets_S, reduction="sum")
