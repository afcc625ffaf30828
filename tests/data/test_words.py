import pytest

from xalign.data.words import with_words, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('He said: "Don\'t!" (twice)', ["he", "said", "don't", "twice"]),
        ("हिन्दी में लिखा।", ["हिन्दी", "में", "लिखा"]),  # vowel signs are part of the word
        ("3 — 4 items, 5€", ["items"]),
        ("  ", []),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_what_is_around_words_stays_when_they_change() -> None:
    assert with_words(' "Don\'t!"  (go) -\n1', str.upper) == ' "DON\'T!"  (GO) -\n1'
