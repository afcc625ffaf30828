"""Subspaces of sentence vectors: what is of a language, and how far languages are from each other."""

import torch
from torch import Tensor

RIDGE = 1e-3
"""Share of the mean variance that is added to every direction: with fewer sentences than dimensions some have
none."""
SAME = 1e-6
"""Below this singular value two directions are the same."""


def language_subspaces(means_DC: Tensor) -> tuple[Tensor, Tensor]:
    """The subspace that tells languages apart, and the direction that they share, from the mean vectors of
    C languages (D, C), in float64: an orthonormal basis (D, C - 1) and a unit vector (D,).

    Xie et al. (EMNLP 2022, "Discovering low-rank subspaces for language-agnostic multilingual
    representations", algorithm 1), as Lens takes it (arXiv 2410.04407): M is approximated by a 1' + S G' of
    which a is orthogonal to the span of S, a = w / ||w||^2, w = pinv(M')' 1.
    """
    means_DC = means_DC.double()
    count = means_DC.shape[1]
    ones_C = means_DC.new_ones(count)
    centre_D = means_DC.mean(1)
    left_DR, values_R, right_RC = torch.linalg.svd(means_DC - centre_D[:, None], full_matrices=False)
    rank = count - 1
    near_DC = centre_D[:, None] + left_DR[:, :rank] * values_R[:rank] @ right_RC[:rank]
    w_D = torch.linalg.pinv(near_DC).T @ ones_C
    shared_D = w_D / w_D.square().sum()
    specific_DR = torch.linalg.svd(near_DC - shared_D[:, None], full_matrices=False)[0][:, :rank]
    return specific_DR, shared_D / shared_D.norm()


def subspace_distance(x_ND: Tensor, y_ND: Tensor, rank: int) -> float:
    """How far two clouds of sentence vectors are from each other, in float64.

    sqrt(sum log^2 of the generalised eigenvalues of their covariances), the affine-invariant distance of
    positive definite matrices, plus the distance of their means over the root of their mean variance; both
    in the subspace that is spanned by the first `rank` principal directions of each (Chang et al., EMNLP
    2022, "The geometry of multilingual language model representations", section 4.1; ShifCon,
    arXiv 2410.19453, chooses its layers by it).
    """
    sides = [side.double() for side in (x_ND, y_ND)]
    means = [side.mean(0) for side in sides]
    directions = [
        torch.linalg.svd(side - mean, full_matrices=False)[2][:rank]
        for side, mean in zip(sides, means, strict=True)
    ]
    spanned_DK, values_K, _ = torch.linalg.svd(torch.cat(directions).T, full_matrices=False)
    basis_DK = spanned_DK[:, values_K > SAME]
    covariances = []
    for side, mean in zip(sides, means, strict=True):
        inside_NK = (side - mean) @ basis_DK
        covariance_KK = inside_NK.T @ inside_NK / len(side)
        ridge = RIDGE * covariance_KK.diagonal().mean()
        covariances.append(covariance_KK + ridge * torch.eye(len(covariance_KK), dtype=ridge.dtype))
    one_KK, other_KK = covariances
    lower_KK = torch.linalg.cholesky(one_KK)
    whitened_KK = torch.linalg.solve_triangular(lower_KK, other_KK, upper=False)
    whitened_KK = torch.linalg.solve_triangular(lower_KK, whitened_KK.T, upper=False)
    values_K = torch.linalg.eigvalsh((whitened_KK + whitened_KK.T) / 2).clamp(min=1e-12)
    spread = (one_KK.trace() + other_KK.trace()).div(2).sqrt()
    return float(values_K.log().square().sum().sqrt() + (means[0] - means[1]).norm() / spread)
