import gzip
from pathlib import Path

from xalign.data.word_pairs import MOST_PAIRS, mined_word_pairs

DOGS = [("a dog", "ein Hund")] * 4 + [("a cat", "ein Kater")] * 3 + [("the dog", "der Hund"), ("a", "ein")]


def test_words_that_occur_together_are_translations_of_each_other() -> None:
    assert mined_word_pairs(DOGS, 3, 0.9) == {"a": "ein", "dog": "hund", "cat": "kater"}
    assert mined_word_pairs(DOGS, 4, 0.9) == {"a": "ein", "dog": "hund"}
    assert mined_word_pairs(DOGS, 9, 0.9) == {}


def test_the_score_is_dices_coefficient() -> None:
    """4 times together, 5 and 6 times in all: 8 / 11."""
    pairs = [("sea", "meer")] * 4 + [("sea", "x")] + [("y", "meer")] * 2
    assert mined_word_pairs(pairs, 2, 8 / 11) == {"sea": "meer"}
    assert mined_word_pairs(pairs, 2, 8 / 11 + 1e-9) == {}


def test_words_that_cannot_be_told_apart_have_no_translation() -> None:
    assert mined_word_pairs([("new york", "nueva york")] * 5, 2, 0.5) == {}
    # Names are the same in both languages: they are nothing to switch, and no translation of others.
    apart = [("new york", "nueva york")] * 5 + [("york", "york")]
    assert mined_word_pairs(apart, 2, 0.5) == {"new": "nueva"}


def test_many_pairs_are_looked_at_evenly() -> None:
    pairs = [("one", "eins")] * MOST_PAIRS + [("two", "zwei")] * MOST_PAIRS
    assert mined_word_pairs(pairs, MOST_PAIRS // 2, 1.0) == {"one": "eins", "two": "zwei"}


def lines(path: Path) -> list[str]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [line.rstrip("\n") for line in file]


def test_translations_from_captions_hold_in_captions_not_seen(shared_data: Path) -> None:
    """Looked at by eye, 58 of 60 German words drawn from all that 29,000 captions give are right."""

    def pairs(split: str) -> list[tuple[str, str]]:
        sides = (lines(shared_data / f"multi30k/{split}.{code}.gz") for code in ("en", "de"))
        return list(zip(*sides, strict=True))

    found = mined_word_pairs(pairs("train")[:10_000], 4, 0.6)
    assert len(found) > 400
    known = {
        "dog": "hund",
        "two": "zwei",
        "red": "roten",
        "water": "wasser",
        "snow": "schnee",
        "cat": "katze",
    }
    assert {word: found.get(word) for word in known} == known
    together = [
        found[word] in target.lower()
        for source, target in pairs("test_2016_flickr")
        for word in set(source.lower().split()) & found.keys()
    ]
    assert len(together) > 1000
    assert sum(together) / len(together) > 0.8
