"""Which language to think in, question by question: the one whose answer the model is most certain of.

After AdaMCoT (arXiv 2501.16154, of which the abstract was read), which chooses the language of thought by a
reward; here the choices are languages of demonstrations, and the reward is the model's own certainty.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from xalign.evaluation.abstention import confidences


@dataclass(frozen=True)
class Routed:
    """Accuracies on the same questions."""

    fixed: dict[str, float]
    """Choice -> accuracy where every question is asked by it."""
    routed: float
    """Where each question is asked by the choice of which the model is most certain."""
    oracle: float
    """Where any choice that answers rightly counts: what no rule can pass."""
    shares: dict[str, float]
    """Choice -> share of the questions that are routed to it."""
    questions: int


def routed(log_likelihoods: Mapping[str, Sequence[Sequence[float]]], gold: Sequence[int]) -> Routed:
    """`log_likelihoods`: choice -> of each question those of its candidates; ties go to the first choice.

    Raises:
        ValueError: the choices are not of the same questions.
    """
    names = list(log_likelihoods)
    if any(len(own) != len(gold) for own in log_likelihoods.values()) or not gold:
        raise ValueError("routing needs the same questions, one or more, of every choice")
    best_CN = np.array([[int(np.argmax(one)) for one in log_likelihoods[name]] for name in names])
    right_CN = best_CN == np.array(gold)
    certain_CN = np.array([confidences(log_likelihoods[name]) for name in names])
    chosen_N = certain_CN.argmax(axis=0)
    return Routed(
        fixed={name: float(own.mean()) for name, own in zip(names, right_CN, strict=True)},
        routed=float(right_CN[chosen_N, np.arange(len(gold))].mean()),
        oracle=float(right_CN.any(axis=0).mean()),
        shares={name: float((chosen_N == place).mean()) for place, name in enumerate(names)},
        questions=len(gold),
    )
