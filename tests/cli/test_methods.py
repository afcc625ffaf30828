"""docs/methods.md says of every method what it is and when to take it."""

from pathlib import Path

import pytest

from xalign.cli.methods import described, methods
from xalign.objectives import OBJECTIVES

ROOT = Path(__file__).parents[2]


def test_the_page_is_up_to_date() -> None:
    assert (ROOT / "docs" / "methods.md").read_text(encoding="utf-8") == methods(), "run `make docs`"


@pytest.mark.parametrize("name", OBJECTIVES.own_names())
def test_every_objective_says_where_it_is_from_and_when_to_take_it(name: str) -> None:
    does, computed, when = described(OBJECTIVES.load(name))
    assert does.count(". ") == 0
    assert computed
    assert when


class Example:
    """Does one thing.

    It computes x
    (Somebody 2020, equation 1).

    Published: with y. Here: without.

    Take it when there is need.
    """


def test_a_docstring_is_taken_apart() -> None:
    expected = ("Does one thing.", "It computes x (Somebody 2020, equation 1).", "there is need.")
    assert described(Example) == expected
