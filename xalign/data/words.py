"""Words of a text: what stands between spaces, punctuation left outside."""

import re
import unicodedata
from collections.abc import Callable

_BETWEEN_SPACES = re.compile(r"\S+")


def word(token: str) -> tuple[int, int]:
    """Where the word is in what stands between two spaces: (first character, one past the last).

    Without punctuation and symbols at either end; of `"don't!"` it is `don't`. Empty where nothing else is
    there. Python's `\\w` would not do: it leaves out the vowel signs of Indic scripts.
    """
    first, last = 0, len(token)
    while first < last and _is_outside(token[first]):
        first += 1
    while last > first and _is_outside(token[last - 1]):
        last -= 1
    return first, last


def _is_outside(character: str) -> bool:
    return unicodedata.category(character)[0] in "PS"


def words(text: str) -> list[str]:
    """The words of a text, lower case, in order; those that hold no letter, such as numbers, left out."""
    found = (token[slice(*word(token))].lower() for token in text.split())
    return [own for own in found if any(character.isalpha() for character in own)]


def with_words(text: str, change: Callable[[str], str]) -> str:
    """The text with every word changed; spaces and punctuation stay."""

    def changed(match: re.Match[str]) -> str:
        token = match.group()
        first, last = word(token)
        return token[:first] + change(token[first:last]) + token[last:] if first < last else token

    return _BETWEEN_SPACES.sub(changed, text)


def words_in(text: str) -> int:
    """How many words `with_words` changes."""
    spans = (word(match.group()) for match in _BETWEEN_SPACES.finditer(text))
    return sum(first < last for first, last in spans)


def in_case_of(word: str, found: str) -> str:
    """What was found, in capitals as the word is that it replaces."""
    if word.isupper() and len(word) > 1:
        return found.upper()
    return found[0].upper() + found[1:] if word[0].isupper() else found
