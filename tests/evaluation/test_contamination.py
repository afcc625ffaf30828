import random
from itertools import pairwise

import pytest

from xalign.evaluation.contamination import LETTERS, WORDS, Overlap, contaminated, summary

ALPHABET = [chr(code) for code in range(0x4E00, 0x4E20)]


def words(count: int, start: int = 0) -> str:
    return " ".join(f"w{i}" for i in range(start, start + count))


def test_whole_text_whatever_its_case_and_punctuation() -> None:
    found = contaminated(
        {"de": ["Guten Tag, Welt!", "Guten Abend", "..."], "fr": ["Bonjour"]},
        {"de": ["guten  tag: WELT", None, "!"], "es": ["Bonjour"]},
    )
    assert found["de"] == Overlap(texts=3, exact=(0,), partial=())
    assert found["fr"] == Overlap(texts=1, exact=(), partial=())


def test_thirteen_words_in_a_row_but_not_twelve() -> None:
    training = ["a b " + words(13, 100) + " c", words(5, 700), words(12, 500)]
    tests = [
        "X " + words(13, 100).upper().replace(" ", ", ") + "!",  # all thirteen
        words(12, 100) + " x " + words(12, 101),  # twelve, twice
        words(6, 100) + " – " + words(7, 106) + " x",  # a dash is no word
        words(12, 500) + " z",  # the whole training text, which is too short
        words(5, 700),  # short, but the same
    ]
    assert contaminated({"de": tests}, {"de": training})["de"] == Overlap(5, exact=(4,), partial=(0, 2))


def test_words_keep_their_limits_and_texts_theirs() -> None:
    joined = words(13)
    moved = "w0w1 w2" + joined.removeprefix("w0 w1 w2")
    across = [words(7), words(6, 7)]  # in a row only if texts were one
    assert contaminated({"de": [moved, "x " + joined]}, {"de": across})["de"].partial == ()
    assert contaminated({"de": ["x " + moved]}, {"de": [joined]})["de"].partial == ()


def test_letters_in_a_row_where_a_script_has_no_spaces() -> None:
    rng = random.Random(0)
    text = "".join(rng.choices(ALPHABET, k=LETTERS + 20))
    tests = [f"前 {text[5 : 5 + LETTERS]}", f"前{text[5 : 4 + LETTERS]}"]
    assert contaminated({"zh": tests}, {"zh": [text]})["zh"].partial == (0,)


def test_agrees_with_plain_sets() -> None:
    """Random texts of few words, so that many pieces are shared: against sets of tuples."""
    rng = random.Random(1)
    sources = [[rng.choice("abcdef") for _ in range(60)] for _ in range(30)]

    def sample(count: int) -> list[str]:
        cut = [(rng.choice(sources), rng.randrange(50), rng.randrange(5, 25)) for _ in range(count)]
        return [" ".join(source[start : start + length]) for source, start, length in cut]

    tests, training = sample(200), sample(60)

    def pieces(text: str) -> set[tuple[str, ...]]:
        own = text.split()
        return {tuple(own[i : i + WORDS]) for i in range(len(own) - WORDS + 1)}

    whole = {text.replace(" ", "") for text in training}
    known = set().union(*map(pieces, training))
    exact = tuple(i for i, text in enumerate(tests) if text.replace(" ", "") in whole)
    partial = tuple(i for i, text in enumerate(tests) if pieces(text) & known and i not in exact)
    found = contaminated({"de": tests}, {"de": training})["de"]
    assert (found.exact, found.partial) == (exact, partial)
    assert len(partial) > 20
    assert all(a < b for a, b in pairwise(partial))


@pytest.mark.parametrize("training", [{}, {"de": []}, {"de": [None]}])
def test_no_training_text(training: dict[str, list[str | None]]) -> None:
    assert contaminated({"de": [words(20)]}, training)["de"].counts == {"texts": 1, "exact": 0, "partial": 0}


def test_summary_names_languages_in_which_something_was_found() -> None:
    line = summary(
        "xnli", {"de": Overlap(4000, (1, 2), ()), "sw": Overlap(10, (), (3,)), "th": Overlap(5, (), ())}
    )
    assert line.startswith("xnli: of 4,015 test texts 2 (de 2) occur in the training text, and 1 (sw 1) more")
