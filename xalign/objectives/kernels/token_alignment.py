"""Similarity of two sentences from the states of their tokens.

Shapes: n sentences of this rank, N of all, A most tokens of a sentence, D hidden size. `there_nA` and
`there_NA` say which tokens a sentence has, one at least.
"""

import math

import torch
from torch import Tensor

ROUNDS = 20
"""Sinkhorn iterations."""


def token_similarities(anchors_nAD: Tensor, others_NAD: Tensor) -> Tensor:
    """Cosines of every two tokens (n, N, A, A), from unit vectors."""
    product = anchors_nAD.flatten(0, 1) @ others_NAD.flatten(0, 1).T
    count, length = anchors_nAD.shape[:2]
    return product.view(count, length, len(others_NAD), length).transpose(1, 2)


def best_match(cosines_nNAA: Tensor, there_nA: Tensor, there_NA: Tensor) -> Tensor:
    """Of each sentence's tokens the most similar one of the other sentence, mean over its tokens (n, N).

    The late interaction of ColBERT (Khattab & Zaharia, SIGIR 2020, equation 3), as a mean.
    """
    best_nNA = cosines_nNAA.masked_fill(~there_NA[None, :, None], -math.inf).amax(-1)
    best_nNA = best_nNA.masked_fill(~there_nA[:, None], 0.0)
    return best_nNA.sum(-1) / there_nA.sum(-1)[:, None]


def transported(cosines_nNAA: Tensor, there_nA: Tensor, there_NA: Tensor, epsilon: float) -> Tensor:
    """The similarity that is left when one sentence's tokens are moved to the other's as cheaply as can be
    (n, N): sum of P times the cosines.

    P is the entropy-regularised transport plan between the tokens, which all weigh alike, found by Sinkhorn's
    iterations in logarithms (Cuturi, NeurIPS 2013, section 4; Peyré & Cuturi 2019, section 4.4). The plan
    gets no gradient: by the envelope theorem that of the optimum is the plan itself.
    """
    with torch.no_grad():
        kernel = cosines_nNAA.detach() / epsilon
        both = there_nA[:, None, :, None] & there_NA[None, :, None, :]
        kernel = kernel.masked_fill(~both, -math.inf)
        rows = -there_nA.sum(-1).to(kernel.dtype).log()[:, None, None]
        columns = -there_NA.sum(-1).to(kernel.dtype).log()[None, :, None]
        column_shift = torch.zeros_like(kernel[:, :, 0])
        for _ in range(ROUNDS):
            row_shift = rows - torch.logsumexp(kernel + column_shift[:, :, None], 3)
            row_shift = row_shift.masked_fill(~there_nA[:, None], 0.0)
            column_shift = columns - torch.logsumexp(kernel + row_shift[..., None], 2)
            column_shift = column_shift.masked_fill(~there_NA[None], 0.0)
        plan = (kernel + row_shift[..., None] + column_shift[:, :, None]).exp()
    return (plan * cosines_nNAA).sum((2, 3))


def contrasted(scores_nN: Tensor, same_nN: Tensor, rows: slice, tau: float) -> Tensor:
    """InfoNCE of this rank's rows over any scores, summed; false negatives are left out."""
    own_n = torch.arange(rows.start, rows.stop, device=scores_nN.device)
    false_nN = same_nN.clone()
    false_nN[own_n - rows.start, own_n] = False
    log_nN = (scores_nN / tau).masked_fill(false_nN, -math.inf).log_softmax(1)
    return -log_nN[own_n - rows.start, own_n].sum()
