"""Losses of pairs of answers, from their log-likelihoods now and before training, (N, 2) each."""

from torch import Tensor
from torch.nn.functional import logsigmoid


def dpo(chosen_N2: Tensor, rejected_N2: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """-log sigmoid(margin) and the margin, beta ((c - c_ref) - (r - r_ref)), of each pair (N,).

    Rafailov et al., NeurIPS 2023, "Direct Preference Optimization", equation 7. No gradient through the
    second column, the model before training.
    """
    gain_N = [side[:, 0] - side[:, 1].detach() for side in (chosen_N2, rejected_N2)]
    margins_N = beta * (gain_N[0] - gain_N[1])
    return -logsigmoid(margins_N), margins_N.detach()


def log_odds_consistency(first_N2: Tensor, second_N2: Tensor, beta: float) -> Tensor:
    """|r_1 - o_2 / beta| + |r_2 - beta o_1| of each question (N,), from the log-odds of its two answers in
    either language now and before training (DCO, arXiv 2603.04678)."""
    (now_1, before_1), (now_2, before_2) = (side.unbind(1) for side in (first_N2, second_N2))
    before_1, before_2 = before_1.detach(), before_2.detach()
    found: Tensor = (now_1 - before_1 - before_2 / beta).abs() + (now_2 - before_2 - beta * before_1).abs()
    return found
