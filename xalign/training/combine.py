"""The objectives' gradients made one: how they are weighted, clipped, and kept from working against each
other.

g_i is the gradient of objective i over all trained parameters, w_i its weight, c the norm to clip at.

- `weighted_sum`: g = sum_i w_i g_i, then g * min(1, c / |g|): the gradient of one fixed loss, sum_i w_i L_i
  (Li et al., NAACL 2024, equation 4), clipped once.
- `clip_each`: g = sum_i w_i min(1, c / |g_i|) g_i. No objective can drown another, however large its
  gradient; but this descends no fixed loss: the weights that act are w_i min(1, c / |g_i|), and change from
  step to step.
- `pcgrad`: each w_i g_i loses its component along every w_j g_j that it conflicts with (Yu et al. 2020,
  PCGrad, algorithm 1), the sum is clipped once.

The weights that act are logged as `weight/<objective>`; under `pcgrad`, of the sum before projection. How
long gradients are before they are clipped: experiments/recipe.
"""

import itertools
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from xalign.config.choices import Combine
from xalign.training import gradients
from xalign.training.gradients import Gradients


class Combined(NamedTuple):
    """The gradient to step with, its norm before clipping as one, and figures for the log."""

    gradient: Gradients
    norm: float
    figures: dict[str, float]


def combine(
    how: Combine,
    parts: Mapping[str, Gradients],
    weights: Mapping[str, float],
    *,
    clip_norm: float,
    seed: int,
    statistics: bool,
) -> Combined:
    """Join the gradients of a step's objectives; they are used up.

    Args:
        how: see above. parts: by objective; of the same parameters in the same order. weights: by objective,
        at this step. clip_norm: c. seed: of the order in which `pcgrad` projects, the same on all ranks.
        statistics: log each objective's norm and the cosine of every pair, where they are not computed
        anyway.
    """
    norms = {}
    if statistics or how is Combine.clip_each:
        norms = {name: float(gradients.norm(g)) for name, g in parts.items()}
    cosines = {}
    if statistics or how is Combine.pcgrad:
        cosines = {
            f"gradient_cosine/{a}-{b}": float(gradients.cosine(parts[a], parts[b]))
            for a, b in itertools.combinations(parts, 2)
        }
    figures = {f"gradient_norm/{name}": norm for name, norm in norms.items()} | cosines
    acting = dict(weights)
    if how is Combine.clip_each:
        acting = {name: weight * _clip_factor(norms[name], clip_norm) for name, weight in weights.items()}
    for name, gradient in parts.items():
        gradients.scale_(gradient, acting[name])
    if how is Combine.pcgrad:
        _project_conflicts(list(parts.values()), np.random.default_rng(seed))
    joined = gradients.add_(list(parts.values()))
    norm = float(gradients.norm(joined))
    if how is not Combine.clip_each:
        factor = _clip_factor(norm, clip_norm)
        gradients.scale_(joined, factor)
        acting = {name: weight * factor for name, weight in acting.items()}
    return Combined(joined, norm, figures | {f"weight/{name}": weight for name, weight in acting.items()})


def _clip_factor(norm: float, clip_norm: float) -> float:
    """By what a gradient of this norm is scaled down (Pascanu et al. 2013)."""
    return min(1.0, clip_norm / max(norm, 1e-12))


def _project_conflicts(parts: list[Gradients], rng: np.random.Generator) -> None:
    """Take from each gradient, in place, its component along those it conflicts with, in random order."""
    if len(parts) < 2:
        return
    originals = [[None if g is None else g.clone() for g in part] for part in parts]
    squares = [float(gradients.norm(part)) ** 2 for part in originals]
    for i, part in enumerate(parts):
        for j in rng.permutation(len(parts)):
            if i == j or squares[j] == 0:
                continue
            dot = float(gradients.dot(part, originals[j]))
            if dot < 0:
                gradients.add_multiple_(part, originals[j], -dot / squares[j])
