"""Words and their translations, mined from translation pairs: no dictionary is needed."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from xalign.base.errors import DataError
from xalign.base.spacing import evenly_spaced
from xalign.data.words import words

MOST_PAIRS = 50_000
"""Pairs that are looked at, evenly spaced over all: a frequent word has shown its translation by then."""
LONGEST = 50
"""Words of a sentence above which its pair is left out: any two words of it would count as together."""


def mined_word_pairs(pairs: Sequence[tuple[str, str]], occurrences: int, score: float) -> dict[str, str]:
    """Word -> its translation, both lower case and one to one, of words that are different in writing.

    Two words belong together if they occur in at least `occurrences` pairs together, their Dice coefficient
    2 n(x, y) / (n(x) + n(y)) is at least `score`, and for each of the two it is higher than with any other
    word. Words that are tied have no translation: the order of words in the text is no reason.
    """
    chosen = evenly_spaced(pairs, MOST_PAIRS)
    sides = [(sorted(set(words(x))), sorted(set(words(y)))) for x, y in chosen]
    sides = [(x, y) for x, y in sides if max(len(x), len(y)) <= LONGEST]
    source, source_words = _occurrences([x for x, _ in sides], occurrences)
    target, target_words = _occurrences([y for _, y in sides], occurrences)
    if not source_words or not target_words:
        return {}
    together = (source.T @ target).tocoo()
    enough = together.data >= occurrences
    x, y, count = together.row[enough], together.col[enough], together.data[enough]
    dice = 2 * count / (source.sum(0)[x] + target.sum(0)[y])
    only_best = _is_only_best(dice, x, len(source_words)) & _is_only_best(dice, y, len(target_words))
    kept = only_best & (dice >= score)
    found = [(source_words[i], target_words[j]) for i, j in zip(x[kept], y[kept], strict=True)]
    return {word: translation for word, translation in found if word != translation}


def _occurrences(texts: Sequence[Sequence[str]], least: int) -> tuple[csr_array, list[str]]:
    """(texts, words): 1 where a text has the word; the words that at least so many have, sorted."""
    counts = Counter(word for text in texts for word in text)
    vocabulary = sorted(word for word, count in counts.items() if count >= least)
    number = {word: i for i, word in enumerate(vocabulary)}
    rows = [[number[word] for word in text if word in number] for text in texts]
    starts = np.cumsum([0, *map(len, rows)])
    columns = np.array([i for row in rows for i in row], dtype=np.int64)
    ones = np.ones(len(columns), dtype=np.int64)
    return csr_array((ones, columns, starts), shape=(len(texts), len(vocabulary))), vocabulary


def _is_only_best(scores: np.ndarray, owners: np.ndarray, count: int) -> np.ndarray:
    """Whether each score is above all others of its owner."""
    best = np.zeros(count)
    np.maximum.at(best, owners, scores)
    is_best = scores == best[owners]
    return is_best & (np.bincount(owners[is_best], minlength=count)[owners] == 1)


def dictionary_words(file: Path) -> list[tuple[str, str]]:
    """Words and their translations, a pair a line, with a tab or else a space between them (as in MUSE).

    Raises:
        DataError: a line has no two words, or the file is not UTF-8.
    """
    found = []
    try:
        for number, line in enumerate(file.read_text(encoding="utf-8-sig").splitlines(), 1):
            if not line.strip():
                continue
            word, _, translation = line.strip().partition("\t" if "\t" in line else " ")
            if not (word.strip() and translation.strip()):
                raise DataError(
                    f"{file}, line {number}: a word and a translation, with a space or tab between them"
                )
            found.append((word.strip(), translation.strip()))
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: not UTF-8 ({error})") from None
    return found
