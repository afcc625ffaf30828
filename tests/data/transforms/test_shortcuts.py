from dataclasses import replace

import numpy as np
import pytest

from xalign.data.parallel import ParallelCorpus
from xalign.data.sampling import Pair
from xalign.data.shortcuts import retrieval_by_shortcuts
from xalign.data.transforms.base import Setup
from xalign.data.transforms.shortcuts import Shortcuts

SETUP = Setup(ParallelCorpus.from_rows([], "none"), "en", ["de"])
PAIR = Pair(3, "Open page 12, in Django.", "Seite 12 öffnen: in django!", "de", 5, 6)


def changed(pair: Pair, **options: bool) -> tuple[str, str]:
    config = Shortcuts.Config(kind="shortcuts", **options)  # type: ignore[arg-type]
    found = Shortcuts(config, SETUP).pair(pair, np.random.default_rng(0))
    return found.source, found.target


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ("Open page , .", "Seite öffnen: !")),
        ({"letters": False}, ("Open page , in Django.", "Seite öffnen: in django!")),
        ({"digits": False}, ("Open page 12, .", "Seite 12 öffnen: !")),
    ],
)
def test_what_both_sides_have_goes(options: dict[str, bool], expected: tuple[str, str]) -> None:
    assert changed(PAIR, **options) == expected


def test_a_side_keeps_two_words() -> None:
    pair = replace(PAIR, source="Django 12", target="Django 12 öffnen")
    assert changed(pair) == (pair.source, pair.target)


def test_nothing_is_left_to_match_by() -> None:
    pairs = [
        replace(PAIR, source=f"the page {n} has it", target=f"es steht auf Seite {n}") for n in range(100)
    ]
    before = retrieval_by_shortcuts([(own.source, own.target) for own in pairs])
    after = retrieval_by_shortcuts([changed(own) for own in pairs])
    assert before["digits"] == 1.0
    assert after["together"] == pytest.approx(0.01)
