"""Multilingual contrastive learning: InfoNCE between the sentences of translation pairs.

Shapes: N pairs in the global batch, n of them on this rank, D hidden size.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from xalign.choices import Centering


def centre(vectors_ND: Tensor, groups_N: Tensor) -> Tensor:
    """Subtract from each vector (N, D) the mean of its group (N,), with gradient through the mean.

    A language's own offset makes every raw cosine near 1; without removing it the first steps only
    inflate the scale (measurements: experiments/recipe).
    """
    same_NN = (groups_N[:, None] == groups_N[None, :]).to(vectors_ND.dtype)
    return vectors_ND - same_NN / same_NN.sum(1, keepdim=True) @ vectors_ND


def info_nce(
    source_ND: Tensor,
    target_ND: Tensor,
    *,
    groups_N: Tensor,
    source_keys_N: Tensor,
    target_keys_N: Tensor,
    tau: float,
    symmetric: bool,
    centering: Centering,
    rows: slice = slice(None),
) -> tuple[Tensor, Tensor]:
    """InfoNCE of the rows `rows` against the whole batch, summed over them, and the hits among them.

    L = -sum_i log( exp(s(x_i, y_i) / tau) / sum_j exp(s(x_i, y_j) / tau) ), s the cosine similarity
    (Li et al., NAACL 2024, equation 1; van den Oord et al. 2018). One direction is source to target;
    `symmetric` averages both. Divide by N for the mean.

    Args:
        source_ND: pivot sentences, (N, D).
        target_ND: their translations, (N, D).
        groups_N: language pair of each row; with `Centering.language` each side loses its group's mean.
        source_keys_N: equal numbers mark equal source texts: such false negatives leave the denominator.
        target_keys_N: the same for target texts.
        tau: temperature.
        symmetric: average both directions.
        centering: what is subtracted before the cosine.
        rows: this rank's rows; all of them on one rank.

    Returns:
        The summed loss (scalar) and, detached, the number of rows whose translation is nearest (scalar).
    """
    if centering is Centering.language:
        source_ND, target_ND = centre(source_ND, groups_N), centre(target_ND, groups_N)
    source_ND, target_ND = F.normalize(source_ND, dim=-1), F.normalize(target_ND, dim=-1)
    duplicate_NN = (source_keys_N[:, None] == source_keys_N) | (target_keys_N[:, None] == target_keys_N)
    duplicate_NN.fill_diagonal_(False)
    labels_n = torch.arange(len(source_ND), device=source_ND.device)[rows]

    forward_nN = (source_ND[rows] @ target_ND.T / tau).masked_fill(duplicate_NN[rows], -torch.inf)
    loss = F.cross_entropy(forward_nN, labels_n, reduction="sum")
    if symmetric:
        backward_nN = (target_ND[rows] @ source_ND.T / tau).masked_fill(duplicate_NN[rows], -torch.inf)
        loss = (loss + F.cross_entropy(backward_nN, labels_n, reduction="sum")) / 2
    hits = (forward_nN.detach().argmax(1) == labels_n).sum()
    return loss, hits
