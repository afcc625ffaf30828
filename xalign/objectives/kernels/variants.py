"""Contrastive losses besides InfoNCE, from all similarities at once.

Shapes: N pairs in the global batch, n of them on this rank.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def same_pairs(source_keys_N: Tensor, target_keys_N: Tensor) -> Tensor:
    """Which pairs share a text with each other (N, N): no negatives of each other; a pair with itself too."""
    return (source_keys_N[:, None] == source_keys_N) | (target_keys_N[:, None] == target_keys_N)


def false_by_margin(similarities_nN: Tensor, same_nN: Tensor, rows: slice, margin: float) -> Tensor:
    """`same_nN` with the pairs more similar than the row's translation less a margin (n, N): likely false
    negatives (Moreira et al., arXiv 2407.15831, section 4.2, TopK-MarginPos). A row that would be left
    without negatives keeps its own.
    """
    own_n = torch.arange(rows.start, rows.stop, device=similarities_nN.device)
    found_nN = similarities_nN.detach()
    likely_nN = same_nN | (found_nN > found_nN[own_n - rows.start, own_n][:, None] - margin)
    return torch.where(likely_nN.all(1, keepdim=True), same_nN, likely_nN)


def sigmoid_loss(
    similarities_nN: Tensor, same_nN: Tensor, rows: slice, scale: Tensor, bias: Tensor
) -> Tensor:
    """Sum over this rank's rows of -log sigmoid(z (t s + b)), z = 1 on the diagonal and -1 off it.

    SigLIP (Zhai et al., ICCV 2023, arXiv 2303.15343, equation 1, algorithm 1): every pair of sentences is a
    question by itself. `scale` is t, `bias` b. False negatives are left out.
    """
    own_n = torch.arange(rows.start, rows.stop, device=similarities_nN.device)
    place_n = own_n - rows.start
    signs_nN = torch.full_like(similarities_nN, -1.0)
    signs_nN[place_n, own_n] = 1.0
    losses_nN = -F.logsigmoid(signs_nN * (scale * similarities_nN + bias))
    false_nN = same_nN.clone()
    false_nN[place_n, own_n] = False
    return losses_nN.masked_fill(false_nN, 0.0).sum()


def weighted_negatives(
    similarities_nN: Tensor,
    same_nN: Tensor,
    rows: slice,
    *,
    tau: float,
    hardness: float,
    positive_share: float,
    decoupled: bool,
) -> Tensor:
    """InfoNCE of this rank's rows against all columns, summed, with its negatives weighted.

    -log( p / (p + G) ), p = exp(s_ii / tau), G = M max( (E_w[exp(s / tau)] - tau+ p) / (1 - tau+), e^(-1 /
    tau) ) over the M negatives of a row, of which E_w weighs each by exp(hardness s), normalised: hard
    negatives (Robinson et al., ICLR 2021, equation 4), and with hardness 0 the debiased loss (Chuang et al.,
    NeurIPS 2020, equation 8). tau+ = `positive_share` is how likely a negative is a positive; 0 and hardness
    0: InfoNCE. `decoupled` leaves p out of the denominator (Yeh et al., ECCV 2022, equation 5).
    """
    own_n = torch.arange(rows.start, rows.stop, device=similarities_nN.device)
    place_n = own_n - rows.start
    logits_nN = similarities_nN / tau
    positive_n = logits_nN[place_n, own_n]
    negative_nN = logits_nN.masked_fill(same_nN, -math.inf)
    count_n = (~same_nN).sum(1).clamp(min=1)
    weights_nN = (hardness * similarities_nN).masked_fill(same_nN, -math.inf).detach().log_softmax(1)
    mean_n = torch.logsumexp(negative_nN + weights_nN.masked_fill(same_nN, 0.0), 1)  # log E_w
    if positive_share:
        largest_n = torch.maximum(mean_n, positive_n).detach()
        less_n = (mean_n - largest_n).exp() - positive_share * (positive_n - largest_n).exp()
        least_n = (-1 / tau - largest_n).exp()
        mean_n = torch.maximum(less_n / (1 - positive_share), least_n).log() + largest_n
    negatives_n = mean_n + count_n.log()
    if decoupled:
        return (negatives_n - positive_n).sum()
    return (torch.logaddexp(negatives_n, positive_n) - positive_n).sum()


def several_positives(logits_MM: Tensor, row_M: Tensor, text_M: Tensor) -> tuple[Tensor, Tensor]:
    """Supervised contrastive loss of M texts, of which those of a row are translations of each other.

    -mean_i mean_p log( exp(z_ip) / sum_a exp(z_ia) ), p the others of i's row, a all other texts (Khosla et
    al., NeurIPS 2020, equation 2), but for texts that are equal to i or to one of its row: false negatives.
    Also the share of texts whose nearest is of their row (scalar, without gradient).
    """
    itself_MM = torch.eye(len(row_M), dtype=torch.bool, device=row_M.device)
    positive_MM = (row_M[:, None] == row_M) & ~itself_MM
    equal_MM = text_M[:, None] == text_M
    # j is false for i where it is equal to any text of i's row.
    false_MM = (
        (positive_MM | itself_MM).to(logits_MM.dtype) @ equal_MM.to(logits_MM.dtype) > 0
    ) & ~positive_MM
    log_MM = logits_MM.masked_fill(false_MM | itself_MM, -math.inf).log_softmax(1)
    loss = -(log_MM.masked_fill(~positive_MM, 0.0).sum(1) / positive_MM.sum(1)).mean()
    right = positive_MM[torch.arange(len(row_M), device=row_M.device), log_MM.argmax(1)]
    return loss, right.to(loss.dtype).mean().detach()
