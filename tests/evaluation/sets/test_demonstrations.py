from collections import Counter

import pytest

from xalign.base.errors import DataError
from xalign.config.choices import Demonstrations
from xalign.evaluation.items import Item
from xalign.evaluation.sets.demonstrations import Pool, Wanted, choose

LANGUAGES = ("de", "en", "sw")


def item(language: str, index: int) -> Item | None:
    """Item k of a language; its answer is k modulo three, and every tenth cannot be asked."""
    if index % 10 == 9:
        return None
    answers = (" a", " b", " c")
    return Item(index, (f"{language}{index}",) * 3, answers, index % 3)


def switched(language: str, other: str, index: int, turn: int) -> Item:
    first, second = (language, other) if turn % 2 == 0 else (other, language)
    return Item(index, (f"{first}{index}{second}",) * 3, (" a", " b", " c"), index % 3)


POOL = Pool("the pool", LANGUAGES, lambda language: 60, item, switched)


def drawn(
    mode: str = "same_language",
    language: str = "sw",
    shots: int = 6,
    balanced: bool = False,
    seed: int = 0,
    asked: tuple[str, ...] = (),
    pool: Pool = POOL,
) -> list[str]:
    wanted = Wanted(shots, Demonstrations(mode), balanced, seed)
    return [found.shown.text for found in choose(pool, wanted, language, "en", asked)]


def language_of(text: str) -> str:
    return text[:2]


def number(text: str) -> int:
    return int("".join(c for c in text if c.isdigit()))


def test_first_is_the_first_of_the_split_that_can_be_asked() -> None:
    texts = drawn("first", shots=12)
    assert texts[:2] == ["sw0 a\n\n", "sw1 b\n\n"]
    assert [number(t) for t in texts] == [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12]
    assert drawn("first", shots=12, seed=5) == texts


def test_the_seed_decides_and_nothing_is_drawn_twice() -> None:
    texts = drawn()
    assert drawn() == texts
    assert drawn(seed=1) != texts
    everything = drawn(shots=54)
    assert len(set(everything)) == 54
    assert not any(number(t) % 10 == 9 for t in everything)
    # Languages of a parallel set see translations of the same demonstrations.
    assert [number(t) for t in drawn(language="de")] == [number(t) for t in texts]
    assert {language_of(t) for t in texts} == {"sw"}
    assert drawn(shots=0) == []


def test_languages_of_each_mode() -> None:
    assert {language_of(t) for t in drawn("pivot")} == {"en"}
    mixed = drawn("mixed", shots=30)
    assert set(map(language_of, mixed)) == set(LANGUAGES)
    assert len(set(map(number, mixed))) == 30
    same = drawn()
    assert drawn("code_switched") == [
        t.replace("sw", "sw" if k % 2 == 0 else "en").replace(" ", ("en " if k % 2 == 0 else "sw "))
        for k, t in enumerate(same)
    ]
    # In the pivot there is nothing to switch to.
    assert drawn("code_switched", language="en") == drawn(language="en")


@pytest.mark.parametrize("mode", ["same_language", "first", "mixed", "code_switched"])
def test_balanced_takes_each_answer_equally_often(mode: str) -> None:
    texts = drawn(mode, shots=8, balanced=True)
    counts = Counter(t.split()[1] for t in texts)
    assert sorted(counts.values()) == [2, 3, 3]
    assert all(number(t) % 3 == "abc".index(t.split()[1]) for t in texts)
    assert len(set(map(number, texts))) == 8


def test_unbalanced_is_really_unbalanced_somewhere() -> None:
    counts = [Counter(number(t) % 3 for t in drawn(shots=6, seed=seed)) for seed in range(10)]
    assert any(set(c.values()) != {2} for c in counts)


def test_an_item_is_never_its_own_demonstration() -> None:
    texts = drawn()
    again = drawn(asked=(texts[0].removesuffix("\n\n"), texts[3].removesuffix("\n\n")))
    assert texts[0] not in again
    assert texts[3] not in again
    assert again[:4] == [texts[1], texts[2], texts[4], texts[5]]


def test_too_few_rows_or_no_such_language() -> None:
    with pytest.raises(DataError, match=r"benchmark.shots=55: the pool has too few items in 'sw' \(54 "):
        drawn(shots=55)
    with pytest.raises(DataError, match=r"too few items with answer \d in 'sw'"):
        drawn(shots=55, balanced=True)
    pool = Pool("the pool", ("de", "sw"), POOL.size, item, switched)
    for mode in ("pivot", "code_switched"):
        with pytest.raises(DataError, match=f"benchmark.demonstrations={mode}: the pool has nothing in 'en'"):
            drawn(mode, pool=pool)
