"""Tests and the intervals that they invert to, against scipy, enumeration and coverage."""

import itertools
import tracemalloc

import numpy as np
import pytest
from scipy.stats import beta, binomtest, multinomial, permutation_test, ttest_1samp

from xalign.evaluation import paired_tests
from xalign.evaluation.paired_tests import (
    SIGNIFICANCE,
    Outcome,
    holm,
    last_step,
    mcnemar,
    resamples,
    sign_flips,
)


def flipped(values: np.ndarray, comparisons: int = 1, seed: int = 0) -> Outcome:
    """The test of one mean of N values."""
    n = len(values)
    (tested,) = sign_flips(values[:, None] / n, np.full((n, 1), 1 / n), comparisons, [seed])
    return tested


def test_holm_by_hand() -> None:
    # 0.01 * 4, 0.02 * 3, max(0.06, 0.03 * 2), max(0.06, 0.5).
    assert holm([0.5, 0.01, 0.03, 0.02]) == pytest.approx([0.5, 0.04, 0.06, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert last_step(holm([0.5, 0.01, 0.03, 0.02])) == 3
    assert last_step(holm([0.001, 0.002])) == 1


@pytest.mark.parametrize("seed", range(5))
def test_the_last_step_of_holm_tells_the_rejected_from_the_others(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p = (rng.random(30) ** rng.integers(1, 8)).tolist()
    adjusted = holm(p)
    at_one_level = [own < SIGNIFICANCE / last_step(adjusted) for own in p]
    assert at_one_level == [own < SIGNIFICANCE for own in adjusted]


def test_mcnemar_is_the_binomial_test_of_the_changes() -> None:
    assert mcnemar(12, 3, 60).p_value == pytest.approx(binomtest(12, 15).pvalue)
    assert mcnemar(3, 12, 60).p_value == pytest.approx(binomtest(12, 15).pvalue)
    assert mcnemar(0, 0, 60).p_value == 1.0


@pytest.mark.parametrize("comparisons", [1, 7, 200])
def test_interval_of_shares_leaves_out_0_where_mcnemar_rejects(comparisons: int) -> None:
    n = 40
    for better, worse in itertools.product(range(0, 26, 5), range(0, 15, 2)):
        tested = mcnemar(better, worse, n)
        low, high = tested.interval(comparisons) or (0, 0)
        assert -1 <= low <= (better - worse) / n <= high <= 1
        assert (low > 0 or high < 0) == (tested.p_value < SIGNIFICANCE / comparisons), (better, worse)
        assert mcnemar(worse, better, n).interval(comparisons) == pytest.approx((-high, -low))


def test_interval_of_shares_by_hand() -> None:
    # Nothing changed: the share that changes is below what would show itself once in n with 97.5 %.
    assert mcnemar(0, 0, 100).interval(1) == pytest.approx(
        (-(1 - 0.025 ** (1 / 100)), 1 - 0.025 ** (1 / 100))
    )
    # Changes for the worse alone: the largest fall is Clopper and Pearson's largest share of changes.
    low, _ = mcnemar(0, 5, 60).interval(1) or (0, 0)
    assert low == pytest.approx(-binomtest(5, 60).proportion_ci(0.95).high)
    # Bentur et al. 2009 (1 for the better, 7 for the worse of 21), by the definition in a million draws.
    rng = np.random.default_rng(0)
    theta = beta.rvs(1, 8, size=1_000_000, random_state=rng), beta.rvs(2, 7, size=1_000_000, random_state=rng)
    share = (
        beta.rvs(8, 14, size=1_000_000, random_state=rng),
        beta.rvs(9, 13, size=1_000_000, random_state=rng),
    )
    low = min(np.quantile(t * (2 * theta[0] - 1), 0.025) for t in share)
    high = max(np.quantile(t * (2 * theta[1] - 1), 0.975) for t in share)
    assert mcnemar(1, 7, 21).interval(1) == pytest.approx((low, high), abs=0.002)


@pytest.mark.parametrize(("n", "comparisons"), [(12, 1), (30, 1), (30, 40)])
def test_interval_of_shares_covers_whatever_the_truth_is(n: int, comparisons: int) -> None:
    """By enumeration of all outcomes, not by simulation."""
    outcomes = [(b, c) for b in range(n + 1) for c in range(n + 1 - b)]
    limits = np.array([mcnemar(b, c, n).interval(comparisons) for b, c in outcomes])
    counts = np.array([(b, c, n - b - c) for b, c in outcomes])
    for p, q in itertools.product((0.0, 0.02, 0.1, 0.3, 0.6), (0.0, 0.03, 0.15, 0.4)):
        inside = (limits[:, 0] <= p - q) & (p - q <= limits[:, 1])
        covered = multinomial.pmf(counts, n, [p, q, 1 - p - q])[inside].sum()
        assert covered >= 1 - SIGNIFICANCE / comparisons, (p, q)


def test_p_value_of_a_mean_is_that_of_all_permutations() -> None:
    rng = np.random.default_rng(3)
    before = rng.normal(0, 1, 12)
    after = before + rng.normal(0.5, 1, 12)
    reference = permutation_test(
        (after, before), lambda x, y: np.mean(x - y), permutation_type="samples", n_resamples=np.inf
    )
    assert flipped(after - before).p_value == pytest.approx(reference.pvalue, abs=0.01)


def test_p_value_of_right_or_wrong_items_is_mcnemars() -> None:
    values = np.array([1.0] * 14 + [-1.0] * 5 + [0.0] * 30)
    assert flipped(values).p_value == pytest.approx(binomtest(14, 19).pvalue, abs=0.005)
    # An odd number of changes cannot cancel out: nothing is less extreme than one more for the better.
    assert flipped(np.array([1.0] * 15 + [-1.0] * 14 + [0.0] * 31)).p_value == 1


def test_interval_is_what_the_permutation_test_does_not_reject() -> None:
    """All signs of ten items, one difference after another."""
    rng = np.random.default_rng(1)
    values = rng.exponential(1, 10) - 0.2
    signs = np.array(list(itertools.product([-1, 1], repeat=10)))

    def p_value(difference: float) -> float:
        shifted = values - difference
        return float(np.mean(np.abs(signs @ shifted) >= abs(shifted.sum()) - 1e-9))

    grid = np.linspace(-1, 3, 801)
    kept = grid[[p_value(difference) >= SIGNIFICANCE for difference in grid]]
    assert flipped(values).interval(1) == pytest.approx((kept[0], kept[-1]), abs=0.06)


def test_interval_of_a_ratio_weighs_the_items() -> None:
    """Gains of 0.5 a unit of size, whatever the size: the interval is that point."""
    sizes = np.array([1.0, 5, 2, 8, 3, 3, 9, 4])
    shares = (sizes / sizes.sum())[:, None]
    (tested,) = sign_flips(0.5 * shares, shares, 1, [0])
    assert tested.interval(1) == pytest.approx((0.5, 0.5))


@pytest.mark.parametrize("seed", range(6))
def test_interval_leaves_out_0_where_the_test_rejects(seed: int) -> None:
    """At every step of Holm, also where values tie and p-values lie at the threshold."""
    rng = np.random.default_rng(seed)
    comparisons = 60
    values = rng.integers(-1, 2, (25, 40)) / 2 + np.linspace(0, 2, 40) * rng.integers(0, 2, (25, 40))
    tested = sign_flips(values / 25, np.full((25, 40), 1 / 25), comparisons, [seed])
    for own in tested:
        for k in range(1, comparisons + 1):
            low, high = own.interval(k) or (0, 0)
            assert (low > 0 or high < 0) == (own.p_value < SIGNIFICANCE / k)
    assert len({own.p_value < SIGNIFICANCE / comparisons for own in tested}) == 2


def test_interval_is_close_to_students_where_that_holds() -> None:
    values = np.random.default_rng(0).normal(0.3, 1, 200)
    reference = ttest_1samp(values, 0).confidence_interval(0.95)
    assert flipped(values).interval(1) == pytest.approx((reference.low, reference.high), abs=0.01)
    narrow = ttest_1samp(values, 0).confidence_interval(1 - 0.05 / 100)
    assert flipped(values, 100).interval(100) == pytest.approx((narrow.low, narrow.high), abs=0.02)


def test_too_few_items_have_no_interval() -> None:
    """With five items the smallest p-value is 2 / 32; nothing at 95 % can be left out."""
    assert flipped(np.array([1.0, 2, 3, 4, 5])).interval(1) is None
    assert flipped(np.array([1.0, 2, 3, 4, 5])).p_value == pytest.approx(2 / 32, abs=0.01)
    assert flipped(np.array([1.0, 2, 3, 4, 5, 6])).interval(1) is not None
    assert flipped(np.array([1.0])).interval(1) is None
    # Nothing changed: no interval either, for a width of 0 would say that nothing can.
    assert (flipped(np.zeros(50)).p_value, flipped(np.zeros(50)).interval(1)) == (1, None)


@pytest.mark.parametrize("comparisons", [1, 101, 808])
def test_resamples_follow_from_the_number_of_comparisons(comparisons: int) -> None:
    smallest = 1 / (resamples(comparisons) + 1)
    assert comparisons * smallest <= SIGNIFICANCE / 15
    assert flipped(np.ones(40), comparisons).p_value == smallest


def test_memory_is_that_of_a_few_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paired_tests, "KEPT", 2**17)
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, (30, 20)) / 30
    tracemalloc.start()
    sign_flips(values, np.full((30, 20), 1 / 30), 300, [0])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # All signs of 120,000 resamples are 29 MB, all sums of the 20 differences 19 MB.
    assert peak < 8e6


def test_a_difference_is_tested_alike_whatever_is_tested_beside_it() -> None:
    values = np.random.default_rng(0).normal(0.2, 1, (30, 3)) / 30
    weights = np.full((30, 3), 1 / 30)
    together = sign_flips(values, weights, 9, [1])
    for k, own in enumerate(together):
        (alone,) = sign_flips(values[:, [k]], weights[:, [k]], 9, [1])
        assert alone.p_value == own.p_value
        assert alone.interval(9) == pytest.approx(own.interval(9))
