"""Whether the texts of a test set occur in the training text.

In the manner of Brown et al. 2020 (GPT-3, appendix C): case, punctuation and white space aside, a text is
suspicious that shares 13 words in a row with the training text. Where a script has no spaces, 50 letters
in a row count instead. Shorter texts are suspicious only as a whole.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xalign.base.languages import has_spaces
from xalign.data.cleaning import normal_form

log = logging.getLogger(__name__)

WORDS = 13
LETTERS = 50

BASE = 0x9E3779B97F4A7C15
"""Of the polynomials; any large odd number."""

Numbers = NDArray[np.uint64]


@dataclass(frozen=True)
class Overlap:
    """Test texts of one language that occur in its training text, by their places.

    `exact`: the whole text is one of the training texts; `partial`: it shares a long piece with one.
    """

    texts: int
    exact: tuple[int, ...]
    partial: tuple[int, ...]

    @property
    def counts(self) -> dict[str, int]:
        """As it is kept in `environment.json`."""
        return {"texts": self.texts, "exact": len(self.exact), "partial": len(self.partial)}


def contaminated(
    test_texts: Mapping[str, Sequence[str]], training_texts: Mapping[str, Iterable[str | None]]
) -> dict[str, Overlap]:
    """What of each language's test texts is in the training texts of that language (None: no text).

    Languages without training text are in the answer too, with nothing found.
    """
    return {
        code: _overlap(texts, [text for text in training_texts.get(code, ()) if text is not None], code)
        for code, texts in test_texts.items()
    }


def contamination(
    texts: Mapping[str, Mapping[str, Sequence[str]]], training_texts: Mapping[str, Iterable[str | None]]
) -> dict[str, dict[str, dict[str, int]]]:
    """What of each task's texts, by language, is in the training texts: counts, as `environment.json` keeps
    them. Where there is anything, a warning says so."""
    found: dict[str, dict[str, Overlap]] = {}
    for task, own in texts.items():
        # Retrieval and MEXA, for one, are on the same sentences.
        same = next((other for other in found if texts[other] == own), None)
        if own:
            found[task] = contaminated(own, training_texts) if same is None else found[same]
    for task, overlaps in found.items():
        if any(o.exact or o.partial for o in overlaps.values()):
            log.warning(summary(task, overlaps))
    return {task: {code: o.counts for code, o in overlaps.items()} for task, overlaps in found.items()}


def summary(name: str, overlaps: Mapping[str, Overlap]) -> str:
    """One line: 'xnli: of 5,010 test texts 3 are training texts (sw 3), 12 share 13 words ... (de 12)'."""

    def counted(found: Mapping[str, int]) -> str:
        where = ", ".join(f"{code} {count:,}" for code, count in found.items() if count)
        return f"{sum(found.values()):,}" + (f" ({where})" if where else "")

    exact = counted({code: len(o.exact) for code, o in overlaps.items()})
    partial = counted({code: len(o.partial) for code, o in overlaps.items()})
    total = sum(o.texts for o in overlaps.values())
    return (
        f"{name}: of {total:,} test texts {exact} occur in the training text, and {partial} more share "
        f"{WORDS} words in a row with it ({LETTERS} letters where a script has no spaces)"
    )


def _overlap(texts: Sequence[str], training: Sequence[str], language: str) -> Overlap:
    places: dict[str, list[int]] = {}
    for place, text in enumerate(texts):
        places.setdefault(normal_form(text), []).append(place)
    places.pop("", None)
    exact = {place for text in training for place in places.get(normal_form(text), ())}
    numbers, size = (_word_numbers(), WORDS) if has_spaces(language) else (_letter_numbers, LETTERS)
    tested, owners = _pieces([numbers(text) for text in texts], size)
    partial: set[int] = set()
    if len(tested):
        known, _ = _pieces([numbers(text) for text in training], size)
        partial = set(owners[np.isin(tested, known)].tolist()) - exact
    return Overlap(len(texts), tuple(sorted(exact)), tuple(sorted(partial)))


def _word_numbers() -> Callable[[str], Numbers]:
    """A function that numbers the words of a text, equal ones in normal form equally."""
    by_form: dict[str, int] = {}
    by_word: dict[str, int] = {}

    def number(word: str) -> int:
        if word not in by_word:
            form = normal_form(word)
            by_word[word] = by_form.setdefault(form, len(by_form) + 1) if form else 0
        return by_word[word]

    return lambda text: np.array([n for n in map(number, text.split()) if n], np.uint64)


def _letter_numbers(text: str) -> Numbers:
    return np.frombuffer(normal_form(text).encode("utf-32-le"), np.uint32).astype(np.uint64)


def _pieces(texts: Sequence[Numbers], size: int) -> tuple[Numbers, NDArray[np.int64]]:
    """A hash of each piece of `size` numbers in a row, and the place of the text that it is from.

    Polynomial hashes modulo 2^64, from one running sum over all texts (Karp and Rabin 1987): with ten
    million pieces on both sides, one wrong match is to be expected in 100,000 calls.
    """
    long = [place for place, text in enumerate(texts) if len(text) >= size]
    if not long:
        return np.empty(0, np.uint64), np.empty(0, np.int64)
    lengths = np.array([len(texts[place]) for place in long])
    flat = np.concatenate([texts[place] for place in long])
    powers, inverse = (
        np.cumprod(np.full(len(flat), base % 2**64, np.uint64)) for base in (BASE, pow(BASE, -1, 2**64))
    )
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(flat * powers)])
    ends = np.repeat(np.cumsum(lengths), lengths)
    starts = np.arange(len(flat))
    starts = starts[starts + size <= ends]
    owners = np.repeat(np.array(long), lengths)[starts]
    return (sums[starts + size] - sums[starts]) * inverse[starts], owners
