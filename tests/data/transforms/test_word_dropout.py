from dataclasses import replace

import numpy as np
import pytest

from xalign.data.parallel import ParallelCorpus
from xalign.data.sampling import Pair
from xalign.data.transforms.base import Setup, Side
from xalign.data.transforms.word_dropout import WordDropout

SETUP = Setup(ParallelCorpus.from_rows([], "none"), "en", ["de", "th"])
PAIR = Pair(3, "one two,  three four", "eins zwei drei vier", "de", 5, 6)


def changed(pair: Pair, seed: int = 0, **options: object) -> Pair:
    config = WordDropout.Config(kind="word_dropout", **options)  # type: ignore[arg-type]
    return WordDropout(config, SETUP).pair(pair, np.random.default_rng(seed))


class Drawn:
    """Random numbers that are given, not drawn."""

    def __init__(self, *numbers: float) -> None:
        self.numbers = list(numbers)

    def random(self, count: int) -> np.ndarray:
        drawn, self.numbers = self.numbers[:count], self.numbers[count:]
        return np.array(drawn)


@pytest.mark.parametrize(
    ("numbers", "left"),
    [
        ((0.3, 0.29, 0.3, 0.9), "one  three four"),
        ((0.1, 0.5, 0.1, 0.1), "two,"),
        ((0.5, 0.5, 0.5, 0.5), "one two,  three four"),
        ((0.1, 0.05, 0.2, 0.15), "three"),  # the one with the highest number, where all would go
    ],
)
def test_words_below_the_probability_go(numbers: tuple[float, ...], left: str) -> None:
    config = WordDropout.Config(kind="word_dropout", probability=0.3, side=Side.source)
    rng = Drawn(*numbers)
    assert WordDropout(config, SETUP).pair(PAIR, rng).source == left  # type: ignore[arg-type]
    assert rng.numbers == []


@pytest.mark.parametrize("side", list(Side))
def test_only_the_side_that_is_asked_for_changes(side: Side) -> None:
    found = changed(PAIR, side=side, probability=0.9)
    assert (found.source != PAIR.source) == (side is not Side.target)
    assert (found.target != PAIR.target) == (side is not Side.source)
    assert found == replace(PAIR, source=found.source, target=found.target)


def test_the_share_of_words_that_go_is_the_probability() -> None:
    long = replace(PAIR, source=" ".join(map(str, range(4000))))
    left = changed(long, probability=0.25).source.split(" ")
    assert len(left) == pytest.approx(3000, abs=4 * (4000 * 0.25 * 0.75) ** 0.5)
    assert left == sorted(left, key=int)


def test_languages_without_spaces_stay() -> None:
    thai = replace(PAIR, target="ประโยค นี้ ไม่มี ช่องว่าง", target_language="th")
    found = changed(thai, probability=0.9)
    assert found.target == thai.target
    assert found.source != thai.source
