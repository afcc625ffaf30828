"""Pooling: from the hidden states of a sentence's tokens to one vector, for either padding side.

Shapes: B sentences, T tokens, D hidden size. `content_BT` is 1 on the tokens of the sentence itself
and 0 on padding and special tokens. A beginning-of-sequence token draws most attention and has a huge
norm (an attention sink): averaged in, it hides the sentence.
"""

from torch import Tensor

from xalign.choices import Pooling


def pool(hidden_BTD: Tensor, content_BT: Tensor, pooling: Pooling) -> Tensor:
    """Pool hidden states (B, T, D) over content tokens (B, T) into float32 vectors (B, D).

    `mean` weighs content tokens alike; `weighted_mean` weighs the t-th content token by t / sum(1..n)
    (MEXA, Kargaran et al. 2024, section 3; Muennighoff 2022, SGPT, equation 3); `last` takes the last.
    A row without content gives zeros.
    """
    weights_BT = _weights(content_BT.long(), pooling)
    # Not a matrix product: autocast would compute that in bf16.
    return (hidden_BTD.float() * weights_BT[:, :, None]).sum(1)


def _weights(content_BT: Tensor, pooling: Pooling) -> Tensor:
    # Rank of a token among the sentence's content tokens, 1 for the first: padding cannot shift it.
    rank_BT = content_BT.cumsum(1) * content_BT
    count_B1 = content_BT.sum(1, keepdim=True)
    match pooling:
        case Pooling.mean:
            weights_BT = content_BT.float()
        case Pooling.weighted_mean:
            weights_BT = rank_BT.float()
        case Pooling.last:
            weights_BT = ((rank_BT == count_B1) & (count_B1 > 0)).float()
    return weights_BT / weights_BT.sum(1, keepdim=True).clamp(min=1)
