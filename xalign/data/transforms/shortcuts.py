"""Shortcuts: what stands on both sides of a pair and finds the translation without its meaning, left out."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from xalign.config.parts import TransformConfig
from xalign.data.transforms.base import Transform
from xalign.data.words import with_words, words_in

if TYPE_CHECKING:
    import numpy as np

    from xalign.data.sampling import Pair


class Shortcuts(Transform):
    """Leaves out words that both sides of a translation pair have: numbers, names in one script, what was
    left untranslated. A contrastive loss may learn to match these in place of the meaning
    (`python -m xalign.data inspect` says how many pairs they find). At least two words of a side stay, or it
    is left as it is.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(TransformConfig):
        digits: bool = True
        """Whether words with a digit go."""
        letters: bool = True
        """Whether words of letters go."""

    config: Config

    def pair(self, pair: "Pair", rng: "np.random.Generator") -> "Pair":
        both = _words(pair.source) & _words(pair.target)
        gone = {word for word in both if self._goes(word)}
        if not gone:
            return pair
        source, target = (_without(text, gone) for text in (pair.source, pair.target))
        if min(words_in(source), words_in(target)) < FEWEST:
            return pair
        return replace(pair, source=source, target=target)

    def _goes(self, word: str) -> bool:
        return self.config.digits if any(map(str.isdigit, word)) else self.config.letters


FEWEST = 2
"""Words that must be left of each side."""

TRANSFORM = Shortcuts


def _words(text: str) -> set[str]:
    found: set[str] = set()

    def seen(word: str) -> str:
        found.add(word.casefold())
        return word

    with_words(text, seen)
    return found


def _without(text: str, gone: set[str]) -> str:
    left = with_words(text, lambda word: "" if word.casefold() in gone else word)
    return " ".join(left.split())
