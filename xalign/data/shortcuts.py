"""How well translations are found by what has no meaning: digits, words that stand on both sides, length.

Where these alone retrieve well, a contrastive loss may learn them in place of the meaning.
"""

import re
from collections.abc import Callable, Sequence

import numpy as np
from scipy.sparse import csr_array

from xalign.base.spacing import evenly_spaced

SENTENCES = 1000
"""Pairs of a language that are looked at, evenly spaced over all."""
_DIGITS = re.compile(r"\d+")
_WORDS = re.compile(r"[^\W\d_]{2,}|[%{}<>$@#&/]+\w*")
"""Words of letters; and what placeholders, tags and paths begin with, with what follows."""


def retrieval_by_shortcuts(pairs: Sequence[tuple[str, str]]) -> dict[str, float]:
    """Retrieval@1, mean of both directions, of at most `SENTENCES` pairs by each shortcut alone, by all
    together, and by chance; ties share one hit.

    `digits` and `words`: cosine of the counts of equal numbers, or words, on both sides, weighted by their
    rarity; `length`: the nearest logarithm of the number of letters, each side's median subtracted first.
    """
    chosen = evenly_spaced(pairs, SENTENCES)
    sides = [[pair[side] for pair in chosen] for side in (0, 1)]
    found = {
        "digits": _in_common(sides, _DIGITS.findall),
        "words": _in_common(sides, lambda text: _WORDS.findall(text.casefold())),
        "length": _alike_in_length(sides),
    }
    shares = {name: _at_1(similarity) for name, similarity in found.items()}
    # Length decides between those that are alike in the rest.
    together = found["digits"] + found["words"] + 0.1 * found["length"]
    return {**shares, "together": _at_1(together), "chance": 1 / len(chosen)}


def _in_common(sides: Sequence[Sequence[str]], parts_of: Callable[[str], list[str]]) -> np.ndarray:
    """Cosines (n, n) of the counts of the parts of texts, weighted by log(n / texts that have it)."""
    numbers: dict[str, int] = {}
    counts = []
    for texts in sides:
        rows, columns = [], []
        for row, text in enumerate(texts):
            own = [numbers.setdefault(part, len(numbers)) for part in parts_of(text)]
            rows += [row] * len(own)
            columns += own
        counts.append((rows, columns))
    size = len(sides[0])
    matrices = [csr_array((np.ones(len(r)), (r, c)), shape=(size, max(1, len(numbers)))) for r, c in counts]
    has = sum(np.asarray((matrix > 0).sum(axis=0)).ravel() for matrix in matrices)
    rarity = np.log(2 * size / np.maximum(has, 1))
    scaled = []
    for matrix in matrices:
        weighted = matrix.multiply(rarity).tocsr()
        norms = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)).ravel())
        scaled.append((weighted, np.maximum(norms, 1e-9)))
    (x, x_norms), (y, y_norms) = scaled
    return np.asarray((x @ y.T).todense()) / x_norms[:, None] / y_norms[None]


def _alike_in_length(sides: Sequence[Sequence[str]]) -> np.ndarray:
    x, y = (np.log([max(1, len(text)) for text in texts]) for texts in sides)
    return -np.abs((x - np.median(x))[:, None] - (y - np.median(y))[None])


def _at_1(similarity: np.ndarray) -> float:
    """Mean over both directions of the share of rows whose own column is the most alike; one hit is shared
    by all that tie."""
    shares = []
    for matrix in (similarity, similarity.T):
        best = matrix >= matrix.max(axis=1, keepdims=True) - 1e-12
        shares.append(float((best.diagonal() / best.sum(axis=1)).mean()))
    return sum(shares) / 2
