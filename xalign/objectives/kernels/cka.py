"""Linear CKA of two sets of vectors, with gradient."""

import torch
from torch import Tensor


def linear_cka(x_ND: Tensor, y_ND: Tensor, *, debiased: bool) -> Tensor:
    """Linear CKA of vectors (N, D) and (N, D'), row by row of the same sentences (scalar).

    HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)) of the Gram matrices of centred vectors (Kornblith et al. 2019,
    equation 4). Debiased: HSIC estimated without bias (Song et al. 2012; Nguyen et al. 2021, equation 3), for
    N >= 4; it can then be below 0, and is 0 where an estimate of HSIC(K, K) is not above 0.
    """
    grams = []
    for side_ND in (x_ND, y_ND):
        centred_ND = side_ND - side_ND.mean(0)
        # CKA does not change with scale; products of products would leave float32's range without one.
        gram_NN = centred_ND @ centred_ND.T
        grams.append(gram_NN / gram_NN.detach().abs().max().clamp(min=torch.finfo(gram_NN.dtype).tiny))
    x_NN, y_NN = grams
    estimate = _unbiased_hsic if debiased else _biased_hsic
    both, own_x, own_y = estimate(x_NN, y_NN), estimate(x_NN, x_NN), estimate(y_NN, y_NN)
    if float(torch.minimum(own_x, own_y).detach()) <= 0:
        return both * 0
    made: Tensor = both / (own_x * own_y).sqrt()
    return made


def _biased_hsic(k_NN: Tensor, l_NN: Tensor) -> Tensor:
    return (k_NN * l_NN).sum()


def _unbiased_hsic(k_NN: Tensor, l_NN: Tensor) -> Tensor:
    n = len(k_NN)
    off_NN = 1 - torch.eye(n, dtype=k_NN.dtype, device=k_NN.device)
    k_NN, l_NN = k_NN * off_NN, l_NN * off_NN
    rows_k_N, rows_l_N = k_NN.sum(0), l_NN.sum(0)
    total = (k_NN * l_NN).sum() + rows_k_N.sum() * rows_l_N.sum() / ((n - 1) * (n - 2))
    made: Tensor = (total - 2 / (n - 2) * (rows_k_N * rows_l_N).sum()) / (n * (n - 3))
    return made
