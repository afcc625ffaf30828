import logging

import numpy as np
import pytest

from xalign.evaluation.tasks import translation_choice
from xalign.evaluation.tasks.multiple_choice import Choice

PAIRS = [(f"source {i}", "wort " * (1 + i % 7) + str(i)) for i in range(60)]
SHOWN = [(f"shown {i}", f"gezeigt {i}") for i in range(9)]


def make(**changes: object) -> list[Choice]:
    options = {"shots": 2, "distractors": 3, "limit": None, "seed": 0} | changes
    pairs, shown = options.pop("pairs", PAIRS), options.pop("shown", SHOWN)
    return translation_choice.choices("de", pairs, shown, **options)


def test_one_right_and_three_wrong_candidates_of_similar_length() -> None:
    items = make()
    assert len(items) == 60
    for item, (source, target) in zip(items, PAIRS, strict=True):
        assert item.context == f"{source} ="
        assert item.candidates[item.gold] == f" {target}"
        assert len(set(item.candidates)) == 4
        assert set(item.candidates) <= {f" {t}" for _, t in PAIRS}
        lengths = np.array([len(c) for c in item.candidates])
        assert abs(lengths - lengths[item.gold]).max() <= 15  # of 30
    # The right one stands anywhere: a model that always takes the first is at chance.
    assert len({item.gold for item in items}) == 4


def test_demonstrations_and_query_are_written_alike() -> None:
    """Defect 5 of the published code: different punctuation in demonstrations and query."""
    items = make()
    assert len({item.prefix for item in items}) == 1
    lines = items[0].prefix.splitlines()
    assert len(lines) == 2
    question = items[0].context + items[0].candidates[0]
    for line in lines:
        shown = next(pair for pair in SHOWN if line.startswith(pair[0] + " "))
        assert line == question.replace(PAIRS[0][0], shown[0]).replace(items[0].candidates[0][1:], shown[1])


def test_same_seed_same_items_whatever_is_asked_beside_them() -> None:
    assert make() == make()
    assert make(limit=5) == make()[:5]
    assert make(seed=1) != make()


def test_alike_texts_are_never_candidates_together() -> None:
    items = make(pairs=[*PAIRS, ("another", "WORT 0"), ("Source  1", "other")])
    assert len(items) == 60


def test_demonstrations_never_come_from_what_is_measured(caplog: pytest.LogCaptureFixture) -> None:
    items = make(shown=[PAIRS[3], ("new", PAIRS[4][1].upper()), ("fresh", "frisch")])
    assert {(item.prefix, item.shots) for item in items} == {("fresh = frisch\n", 1)}
    assert "only 1 demonstrations" in caplog.text
    assert make(shown=[], shots=0)[0].prefix == ""


def test_too_few_texts_are_logged_not_measured(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    assert make(pairs=PAIRS[:3]) == []
    assert "de has 3 texts, too few: not measured" in caplog.text
    assert len(make(pairs=PAIRS[:4])) == 4
