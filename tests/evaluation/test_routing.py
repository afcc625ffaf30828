"""Routing by certainty against hand-computed cases."""

import numpy as np
import pytest

from xalign.evaluation.routing import routed

SURE, UNSURE = [0.0, -5.0], [0.0, -0.1]


def test_each_question_goes_where_the_model_is_certain() -> None:
    found = routed({"en": [SURE, UNSURE, [-5.0, 0.0]], "own": [UNSURE, [-5.0, 0.0], UNSURE]}, gold=[0, 1, 0])
    assert found.fixed == {"en": pytest.approx(1 / 3), "own": 1.0}
    assert found.routed == pytest.approx(2 / 3)
    assert found.oracle == 1.0
    assert found.shares == {"en": pytest.approx(2 / 3), "own": pytest.approx(1 / 3)}


def test_a_certainty_that_knows_gains_and_one_that_does_not_gains_nothing() -> None:
    rng = np.random.default_rng(0)
    gold = rng.integers(2, size=4000).tolist()

    def answers(certain_when_right: bool) -> list[list[float]]:
        found = []
        for own in gold:
            right = rng.random() < 0.6
            sure = right if certain_when_right else rng.random() < 0.6
            gap = 2.0 + rng.random() if sure else 0.1 * rng.random()
            answer = own if right else 1 - own
            found.append([0.0, -gap] if answer == 0 else [-gap, 0.0])
        return found

    knows = routed({"a": answers(True), "b": answers(True)}, gold)
    blind = routed({"a": answers(False), "b": answers(False)}, gold)
    assert knows.routed == pytest.approx(1 - 0.4**2, abs=0.03)
    assert knows.routed == pytest.approx(knows.oracle, abs=0.01)
    assert blind.routed == pytest.approx(0.6, abs=0.03)


def test_other_questions_are_refused() -> None:
    with pytest.raises(ValueError, match="the same questions"):
        routed({"a": [SURE], "b": [SURE, SURE]}, [0])
