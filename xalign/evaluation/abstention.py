"""Abstention: a model that does not answer what it does not know.

Of N questions A are answered rightly, C answered wrongly, B and D abstained from, which would have been right
and wrong: reliable accuracy A / (A + C), effective reliability (A - C) / N, abstain precision D / (B + D),
abstain recall D / (C + D) (Feng et al., ACL 2024, "Don't hallucinate, abstain", section 3; in many languages
Feng et al., arXiv 2406.15948).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Abstention:
    """How well abstaining told right answers from wrong ones; None where there is nothing to divide by."""

    reliable_accuracy: float | None
    effective_reliability: float
    abstain_precision: float | None
    abstain_recall: float | None
    abstained: float
    """Share of the questions."""

    def rows(self) -> dict[str, float]:
        """Metric -> value, of those that are defined."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def confidences(log_likelihoods: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """The likeliest candidate's share in the softmax over the candidates of each question (N,)."""
    return np.array([1 / np.exp(np.array(own) - np.max(own)).sum() for own in log_likelihoods])


def abstention(confidence_N: NDArray[np.float64], right_N: NDArray[np.bool_], threshold: float) -> Abstention:
    """What comes of answering where the confidence is at least the threshold."""
    answered_N = confidence_N >= threshold
    a, c = int((answered_N & right_N).sum()), int((answered_N & ~right_N).sum())
    b, d = int((~answered_N & right_N).sum()), int((~answered_N & ~right_N).sum())
    return Abstention(
        reliable_accuracy=a / (a + c) if a + c else None,
        effective_reliability=(a - c) / len(right_N),
        abstain_precision=d / (b + d) if b + d else None,
        abstain_recall=d / (c + d) if c + d else None,
        abstained=(b + d) / len(right_N),
    )


def fitted_threshold(confidence_N: NDArray[np.float64], right_N: NDArray[np.bool_]) -> float:
    """The confidence from which on to answer, with the highest effective reliability on these questions; of
    several the lowest, which answers most. Above all of them: answer nothing."""
    order = np.argsort(-confidence_N, kind="stable")
    gains = np.cumsum(np.where(right_N[order], 1, -1))
    sorted_N = confidence_N[order]
    # A threshold cannot fall between questions of equal confidence.
    ends = np.append(sorted_N[:-1] != sorted_N[1:], True)
    best, threshold = 0, float("inf")
    for place in np.flatnonzero(ends):
        if gains[place] >= best and gains[place] > 0:
            best, threshold = int(gains[place]), float(sorted_N[place])
    return threshold


def held_out_abstention(
    log_likelihoods: Sequence[Sequence[float]], gold: Sequence[int]
) -> tuple[Abstention, int]:
    """Of every second question, with the threshold of the others; and how many these are.

    Raises:
        ValueError: there are fewer than two questions.
    """
    if len(gold) < 2:
        raise ValueError("abstention needs two questions or more")
    confidence_N = confidences(log_likelihoods)
    right_N = np.array([int(np.argmax(own)) for own in log_likelihoods]) == np.array(gold)
    threshold = fitted_threshold(confidence_N[::2], right_N[::2])
    return abstention(confidence_N[1::2], right_N[1::2], threshold), len(right_N[1::2])
