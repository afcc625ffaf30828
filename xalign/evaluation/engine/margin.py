"""Parallel sentences among sentence vectors of two texts, by the margin score of Artetxe and Schwenk (2019a,
"Margin-based Parallel Corpus Mining with Multilingual Sentence Embeddings", equation 2, ratio):

    score(x, y) = cos(x, y) / (mean of cos(x, z) over the k nearest z of x / 2 + the same of y / 2)

Shapes: N sentences of one text, M of the other, D hidden size.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize


@dataclass(frozen=True)
class Match:
    """Two sentences, by their numbers, that belong together."""

    source: int
    target: int
    score: float


def matches(
    source_ND: Tensor, target_MD: Tensor, *, neighbours: int, centred: bool, block: int = 2048
) -> list[Match]:
    """Pairs of sentences that are each other's best or at least one's, the highest score first; none twice.

    Both directions are searched and their candidates joined ("max" of the paper, section 3.2). Exact, in
    float32, without more than `block` rows of similarities at a time. `centred`: the mean of each text is
    subtracted first.
    """
    x_ND, y_MD = source_ND.float(), target_MD.float()
    if centred:
        x_ND, y_MD = x_ND - x_ND.mean(0), y_MD - y_MD.mean(0)
    x_ND, y_MD = normalize(x_ND, dim=1), normalize(y_MD, dim=1)
    near_x = _mean_of_nearest(x_ND, y_MD, neighbours, block)
    near_y = _mean_of_nearest(y_MD, x_ND, neighbours, block)
    forward = _best(x_ND, y_MD, near_x, near_y, block)
    backward = _best(y_MD, x_ND, near_y, near_x, block)
    found = {(i, j): score for i, (j, score) in enumerate(forward)}
    found |= {(j, i): score for i, (j, score) in enumerate(backward)}
    taken_x: set[int] = set()
    taken_y: set[int] = set()
    kept = []
    for (i, j), score in sorted(found.items(), key=lambda item: (-item[1], item[0])):
        if i not in taken_x and j not in taken_y:
            taken_x.add(i)
            taken_y.add(j)
            kept.append(Match(i, j, score))
    return kept


def _mean_of_nearest(x_ND: Tensor, y_MD: Tensor, neighbours: int, block: int) -> Tensor:
    """(N,): mean cosine of each x with its nearest y."""
    count = min(neighbours, len(y_MD))
    return torch.cat([(part @ y_MD.T).topk(count, dim=1).values.mean(dim=1) for part in x_ND.split(block)])


def _best(x_ND: Tensor, y_MD: Tensor, near_N: Tensor, near_M: Tensor, block: int) -> list[tuple[int, float]]:
    """For each x the y of the highest score, and that."""
    found: list[tuple[int, float]] = []
    for part, near in zip(x_ND.split(block), near_N.split(block), strict=True):
        scores = (part @ y_MD.T) / ((near[:, None] + near_M[None]) / 2)
        best = scores.max(dim=1)
        found += zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return found
