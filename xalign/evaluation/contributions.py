"""What each item contributes to a figure: what paired tests resample, and what standard errors are read off.

A figure is a function of the items: a mean, a ratio of sums, the best of several layers. An item's
contribution is what the jackknife says: the figure less its (weighted) value without the item (Tukey 1958;
Efron and Stein 1981, "The jackknife estimate of variance"). For means and ratios of sums this is the item's
own value over the total size, exactly.

In retrieval and MEXA a sentence is an item and also a candidate for all others. Without it, its own hit is
gone, and sentences that miss because of it alone hit. So both sides are resampled at once: a sentence that
counts k times counts k times as a query and as a candidate. A miss due to one candidate is in two
contributions then, its own and the candidate's, and would be counted twice in the variance; the squares of
these pairs are subtracted once (Cameron, Gelbach and Miller 2011, two-way clusters; Aronow, Samii and
Assenova 2015, pairs of nodes). Against the true spread over 800 drawn sets of 30 to 200 sentences the error
is right within 5 %, that of the plain jackknife 15 to 35 % too large. The bootstrap over nodes (Snijders and
Borgatti 1999) estimates the same, but leaves a third of the candidates out, which shifts every figure.

Shapes: N items of a language, L layers, P pairs, M items of all languages together.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

Array = NDArray[np.float64]

Reduce = Callable[[Array], Array]
"""From values of every layer (..., L) to one figure (...)."""


def first_layer(values: Array) -> Array:
    """The figure of scores that have one layer."""
    return values[..., 0]


@dataclass(frozen=True)
class Rivals:
    """Pairs (P,) of an item and the only other that keeps it from its value; `lost` (P, L) is that value.

    `items` and `rivals` are positions among the N items.
    """

    items: NDArray[np.int64]
    rivals: NDArray[np.int64]
    lost: Array


@dataclass(frozen=True)
class Scores:
    """One metric in one language: values (N, L), sizes (N,); a figure is `values.sum(0) / sizes.sum()`.

    `rivals` is None where items have nothing to do with each other.
    """

    index: list[int]
    values: Array
    sizes: Array
    rivals: Rivals | None = None

    def at(self, layer: int) -> Self:
        """The scores of one layer, which are then of shape (N, 1)."""
        rivals = self.rivals
        if rivals is not None:
            some = np.flatnonzero(rivals.lost[:, layer])
            rivals = Rivals(rivals.items[some], rivals.rivals[some], rivals.lost[some][:, [layer]])
        return replace(self, values=self.values[:, [layer]], rivals=rivals)


@dataclass(frozen=True)
class Contributions:
    """Of M items to one figure: `values` (M,) sum to the figure, `weights` (M,) to 1.

    `pairs` (M, M): what item i loses by item j alone; it is in the values of both.
    """

    figure: float
    values: Array
    weights: Array
    pairs: csr_array

    @classmethod
    def mean(cls, several: Sequence[Self]) -> Self:
        """Contributions to the mean of several figures over the same items."""
        return cls(
            float(np.mean([c.figure for c in several])),
            np.mean([c.values for c in several], axis=0),
            np.mean([c.weights for c in several], axis=0),
            sum((c.pairs for c in several[1:]), several[0].pairs) / len(several),
        )

    def minus(self, other: Self) -> Self:
        """Contributions to the difference of two figures over the same items."""
        return type(self)(
            self.figure - other.figure, self.values - other.values, self.weights, self.pairs - other.pairs
        )

    @property
    def deviations(self) -> Array:
        """How far each item (M,) moves the figure; their squares sum to its variance, nearly."""
        moved = self.values - self.weights * self.figure
        both = self.pairs + self.pairs.T
        squares, twice = (moved**2).sum(), both.multiply(both).sum() / 2
        # Were every contribution made of pairs alone, half of the squares would be too many.
        return moved * np.sqrt(max(1 - twice / squares, 0.5)) if squares > 0 else moved

    @property
    def error(self) -> float | None:
        """Standard error of the figure; None for a single item."""
        n = int((self.weights > 0).sum())
        return float(np.sqrt((self.deviations**2).sum() * n / (n - 1))) if n > 1 else None


def all_items(scores: Sequence[Scores]) -> list[int]:
    """The numbers of the items (M,) of several languages, sorted."""
    return sorted({number for own in scores for number in own.index})


def contributions(scores: Scores, reduce: Reduce, items: Sequence[int]) -> Contributions:
    """What each of `items` (M,) contributes to the figure of a language, which has some of them.

    `items` are those of all languages together, as `all_items` sorts them.
    """
    total, size = scores.values.sum(0), scores.sizes.sum()
    left, figure = size - scores.sizes, reduce(total / size)
    freed = np.zeros_like(scores.values)
    column = np.searchsorted(items, scores.index)
    pairs = csr_array((len(items), len(items)))
    if scores.rivals is not None:
        own = scores.rivals
        np.add.at(freed, own.rivals, own.lost)
        effects = reduce((total + own.lost) / size) - figure
        at = np.flatnonzero(effects)
        pairs = csr_array((effects[at], (column[own.items[at]], column[own.rivals[at]])), shape=pairs.shape)
    # Without its only item a language has no figure, but then `left` is 0: the item contributes all.
    without = (total - scores.values + freed) / np.where(left > 0, left, 1)[:, None]
    raw = figure - left / size * reduce(without)
    weights = scores.sizes / size
    # Where a figure is not linear, `raw` sums to the figure less what the jackknife takes for its bias.
    values = raw + weights * (figure - raw.sum())
    values_M, weights_M = np.zeros(len(items)), np.zeros(len(items))
    values_M[column], weights_M[column] = values, weights
    return Contributions(float(figure), values_M, weights_M, pairs)
