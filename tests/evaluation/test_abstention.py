"""Abstention: counted by hand, and what perfect and random certainty give."""

import math

import numpy as np
import pytest

from xalign.evaluation.abstention import abstention, confidences, fitted_threshold, held_out_abstention


def test_by_hand() -> None:
    # Answered: right, right, wrong; abstained: right, wrong, wrong.
    confidence = np.array([0.9, 0.8, 0.7, 0.3, 0.2, 0.1])
    right = np.array([True, True, False, True, False, False])
    found = abstention(confidence, right, 0.5)
    assert found.rows() == {
        "reliable_accuracy": pytest.approx(2 / 3),
        "effective_reliability": pytest.approx(1 / 6),
        "abstain_precision": pytest.approx(2 / 3),
        "abstain_recall": pytest.approx(2 / 3),
        "abstained": pytest.approx(1 / 2),
    }


def test_the_threshold_is_where_most_is_gained() -> None:
    confidence = np.array([0.9, 0.8, 0.8, 0.6, 0.5])
    # After 0.9: 1; after both of 0.8: 1; after 0.6: 2; after 0.5: 1.
    assert fitted_threshold(confidence, np.array([True, False, True, True, False])) == 0.6
    assert fitted_threshold(confidence, np.array([False, False, False, True, False])) == math.inf
    everything = abstention(confidence, np.zeros(5, bool), math.inf)
    assert everything.reliable_accuracy is None
    assert everything.effective_reliability == 0
    assert everything.abstained == 1


def made(certain: bool, count: int = 4000) -> tuple[list[list[float]], list[int]]:
    """Two candidates, of which the likelier is right half of the time; if `certain`, then by a wide
    margin."""
    rng = np.random.default_rng(0)
    likelihoods, gold = [], []
    for _ in range(count):
        right = rng.random() < 0.5
        margin = (5.0 if right else 0.1) if certain else float(rng.random())
        likelihoods.append([0.0, -margin])
        gold.append(0 if right else 1)
    return likelihoods, gold


def test_perfect_certainty_abstains_from_all_that_is_wrong() -> None:
    found, count = held_out_abstention(*made(certain=True))
    assert count == 2000
    assert found.reliable_accuracy == found.abstain_precision == found.abstain_recall == 1
    assert found.effective_reliability == pytest.approx(0.5, abs=0.05)


def test_certainty_that_says_nothing_gains_nothing() -> None:
    found, _ = held_out_abstention(*made(certain=False))
    assert found.effective_reliability == pytest.approx(0, abs=0.05)
    assert found.reliable_accuracy is None or found.reliable_accuracy == pytest.approx(0.5, abs=0.1)


def test_confidence_is_the_share_in_the_softmax() -> None:
    assert confidences([[math.log(3), 0.0]]).tolist() == [pytest.approx(0.75)]
