"""Tests of differences, each with the intervals that it inverts to: 0 is outside just where it rejects.

Shapes: M items, C differences, R resamples.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from math import ceil

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaincinv, betaln, xlog1py, xlogy
from scipy.stats import binom, binomtest

Array = NDArray[np.float64]
Singles = NDArray[np.float32]

Interval = tuple[float, float] | None
"""None: there are too few items for any, or nothing changed in any of them."""

SIGNIFICANCE = 0.05
"""Adjusted p-values below this count as significant."""

FEWEST_RESAMPLES = 10_000
EXTREME = 20
"""So many resamples are expected beyond a difference whose p-value is the smallest that Holm may ask for."""

BLOCK = 2**16
"""Numbers that a block of resamples has at most: few enough for the processor's cache."""

KEPT = 2**24
"""Limits of resamples that are kept at once (64 MiB on either side)."""


@dataclass(frozen=True)
class Outcome:
    """A two-sided p-value, and the interval at 1 - `SIGNIFICANCE` / k for k = 1, 2, ... comparisons."""

    p_value: float
    interval: Callable[[int], Interval]


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's (1979) step-down correction of p-values of one family, in their order."""
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = running
    return adjusted


def last_step(adjusted: Sequence[float]) -> int:
    """By how many comparisons Holm's last step divides the level: those that it does not reject.

    Whoever is rejected has a p-value below `SIGNIFICANCE` / k for this k, whoever is not has none: intervals
    at that level and verdicts agree, and each interval is at least as wide as that of one comparison.
    """
    return max(1, sum(p >= SIGNIFICANCE for p in adjusted))


def mcnemar(better: int, worse: int, n: int) -> Outcome:
    """McNemar's exact test that as many of n right-or-wrong items change for better as for worse.

    Intervals of the difference of the two shares of right items: those of Fay and Lumbard (2021,
    "Confidence intervals for difference in proportions for matched pairs compatible with exact McNemar's or
    sign tests", section 3). Their coverage is never below the level.
    """
    changed = better + worse
    p_value = float(binomtest(better, changed).pvalue) if changed else 1.0

    def interval(comparisons: int) -> Interval:
        tail = SIGNIFICANCE / comparisons / 2
        return _lower(better, changed, n, tail), -_lower(worse, changed, n, tail)

    return Outcome(p_value, interval)


def _lower(better: int, changed: int, n: int, tail: float) -> float:
    """The lower limit: the quantile at `tail` of T (2 B - 1), where T is the share of items that change and B
    that of changes for the better, both distributed as Clopper and Pearson's limits are."""
    if changed == n and better == 0:
        return -1.0
    if better == 0:  # B is 0, T is at its upper limit
        return -float(betaincinv(changed + 1, n - changed, 1 - tail))
    rejected = binom.sf(better - 1, changed, 0.5) < tail
    # The product is smallest with a small T where it is positive, with a large one where it is negative.
    low, high, a, b = (
        (0.0, 1.0, changed, n - changed + 1) if rejected else (-1.0, 0.0, changed + 1, n - changed)
    )
    for _ in range(30):
        middle = (low + high) / 2
        if _product_below(middle, better, changed, a, b) < tail:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _product_below(limit: float, better: int, changed: int, a: int, b: int) -> float:
    """P(T (2 B - 1) <= limit) with T of Beta(a, b) and B of Beta(better, changed - better + 1)."""

    def below(share: Array | float) -> Array:
        return np.asarray(betainc(better, changed - better + 1, np.clip(0.5 + limit / (2 * share), 0, 1)))

    if b == 0:  # T is 1
        return float(below(1.0))
    # Integrated where neither T nor B are certain to decide.
    first, last = max(betaincinv(a, b, 1e-14), abs(limit)), 1 - betaincinv(b, a, 1e-14)
    certain = float(betainc(a, b, limit)) if limit > 0 else 0.0
    if first >= last:
        return certain
    nodes, weights = _nodes()
    share = first + (last - first) * (nodes + 1) / 2
    density = np.exp(xlogy(a - 1, share) + xlog1py(b - 1, -share) - betaln(a, b))
    return certain + float(weights @ (density * below(share))) * (last - first) / 2


@cache
def _nodes() -> tuple[Array, Array]:
    """Gauss-Legendre nodes and weights on [-1, 1]."""
    return np.polynomial.legendre.leggauss(64)


def resamples(comparisons: int) -> int:
    """How many resamples tell a p-value of `SIGNIFICANCE` / `comparisons` from larger ones."""
    # No multiple of 20 less one: a p-value is then never at the threshold, where rounding would decide.
    return max(FEWEST_RESAMPLES, ceil(EXTREME * comparisons / SIGNIFICANCE))


def sign_flips(values_MC: Array, weights_MC: Array, comparisons: int, seed: Sequence[int]) -> list[Outcome]:
    """Permutation tests of C differences, each the sum of its M items' values.

    Were there no difference, `before` and `after` of each item could change places: the sum would be as good
    with any signs. A difference d is tested by `values - d * weights` (weights sum to 1) in the same way,
    and the interval is what is not rejected. The limits are quantiles of the means of random subsets of the
    items (Hartigan 1969, "Using subsample values as typical values"), so that it takes no search. Exact
    for values that are symmetric about d, and right in the limit for others (Romano 1990).

    `comparisons` is the size of their family, from which the number of resamples follows. They are
    worked off in blocks, and some differences at a time: memory is bounded whatever R, M and C.
    """
    rounds = resamples(comparisons)
    # 1 + how many are at least as extreme must reach (R + 1) * SIGNIFICANCE / k; in whole numbers, exactly.
    per = round(1 / SIGNIFICANCE)
    ranks = np.array([-(-(rounds + 1) // (per * k)) - 1 for k in range(1, comparisons + 1)])
    outcomes: list[Outcome] = []
    step = max(1, KEPT // rounds)
    for start in range(0, values_MC.shape[1], step):
        own = slice(start, start + step)
        low_CR, high_CR = _limits(values_MC[:, own].T, weights_MC[:, own].T, rounds, seed)
        extreme_C = ((low_CR <= 0) & (high_CR >= 0)).sum(1)
        limits = np.stack([_smallest(low_CR, ranks), -_smallest(-high_CR, ranks)], -1)
        changed_C = (values_MC[:, own] != 0).sum(0)
        outcomes += [
            Outcome((1 + int(extreme)) / (rounds + 1), partial(_at_step, limits[c] if changed_C[c] else None))
            for c, extreme in enumerate(extreme_C)
        ]
    return outcomes


def _limits(values_CM: Array, weights_CM: Array, rounds: int, seed: Sequence[int]) -> tuple[Singles, Singles]:
    """For each resample the differences, from (C, R) to (C, R), beside which what was observed is no more
    extreme than the resample."""
    rng = np.random.default_rng(seed)
    # In single precision: what lies within its rounding of a tie counts as one.
    total_C1, tiny_C1 = values_CM.sum(1)[:, None], 1e-5 * np.abs(values_CM).sum(1)[:, None]
    some, same = np.unique(weights_CM, axis=0, return_inverse=True)
    rows = np.concatenate([values_CM, some]).astype(np.float32)
    low_CR, high_CR = np.empty((2, len(values_CM), rounds), np.float32)
    size = max(1, BLOCK // max(rows.shape))
    for start in range(0, rounds, size):
        block = slice(start, min(start + size, rounds))
        bits_BM = rng.integers(0, 2, (block.stop - start, rows.shape[1]), dtype=np.int8)
        products = rows @ (2 * bits_BM.astype(np.float32) - 1).T
        sums_CB, weights_CB = products[: len(values_CM)], products[len(values_CM) :][same]
        # |sums - d weights| >= |total - d| for every d between the mean of the items with a plus and that of
        # those with a minus. Where all signs are alike, this is the observed assignment: it holds for any d.
        alike = 1 - np.abs(weights_CB) < 1e-5
        with np.errstate(divide="ignore", invalid="ignore"):
            plus, minus = (total_C1 + sums_CB) / (1 + weights_CB), (total_C1 - sums_CB) / (1 - weights_CB)
        low_CB, high_CB = np.minimum(plus, minus), np.maximum(plus, minus)
        for ends_CB, infinite in ((low_CB, -np.inf), (high_CB, np.inf)):
            ends_CB[np.abs(ends_CB) < tiny_C1] = 0  # rounding must not make ties with 0 rarer
            ends_CB[alike] = infinite
        low_CR[:, block], high_CR[:, block] = low_CB, high_CB
    return low_CR, high_CR


def _smallest(values_CR: Singles, ranks: NDArray[np.int64]) -> Singles:
    """The smallest, second smallest, ... of each row, for each of the ranks."""
    most = int(ranks.max())
    return np.sort(np.partition(values_CR, most - 1)[:, :most])[:, ranks - 1]


def _at_step(limits: Singles | None, comparisons: int) -> Interval:
    if limits is None or not np.isfinite(limits[comparisons - 1]).all():
        return None
    low, high = limits[comparisons - 1].tolist()
    return low, high
