"""Before against after, item by item: one paired test a figure, its interval, and their correction for how
much is tested.

A test and the interval beside it are the same test, so they cannot disagree: the interval holds 0 exactly
where the change is not significant. Both are about the items of one run, not about its seed.

Shapes: N items of a language, L layers (1 where a metric has none), G item numbers, F figures, R sign flips.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from math import ceil
from pathlib import Path
from zlib import crc32

import numpy as np
from scipy.stats import beta, binomtest

from xalign.errors import DataError
from xalign.evaluation.item_scores import AllScores, Array, Scores, at_best_layers, item_scores
from xalign.evaluation.metrics import MEAN, Kind, Metric, Shown, Summary
from xalign.evaluation.results import Evaluation
from xalign.files import write_atomically

SIGNIFICANCE = 0.05
"""Probability that a family of tests of figures that did not change calls any of them changed."""

FLIPS_A_TEST = 200
"""Sign flips for each test of the family: of so many, ten are more extreme than what the smallest p-value
must beat."""

FEWEST_FLIPS = 2000

CHUNK = 4096
"""Flips at a time."""


class Family(StrEnum):
    """Tests that are corrected together: all that one sentence of the report may claim."""

    languages = "languages"
    """Every language of every metric and benchmark that tables show."""
    means = "means"
    """The mean over languages of every metric and benchmark that tables or main figures show."""
    unreported = "unreported"
    """What only the files hold."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How a figure changed.

    `low` and `high` bound the difference: together with all intervals of the `family` at 95 %. `p_value` is
    of the test by itself, `p_adjusted` after Holm's correction over the family.
    """

    benchmark: str
    language: str
    metric: str
    layer: int | None
    before: float
    after: float
    difference: float
    low: float
    high: float
    p_value: float
    p_adjusted: float
    n: int
    family: Family = Family.unreported


@dataclass(frozen=True)
class _Figure:
    """What is compared: a metric at one layer, or one figure for all layers."""

    metric: Metric
    layer: int | None
    reported: bool
    """Whether tables show it for each language."""
    at: int | Summary | None
    """Where it is in the values of all layers."""

    @property
    def headline(self) -> bool:
        """Whether its mean over languages is among the main figures."""
        return self.reported or self.metric.shown is Shown.headline


@dataclass(frozen=True)
class _Change:
    """A figure before and after, and what each item, by its number, adds to the error of the difference: of
    sum 0."""

    figure: _Figure
    benchmark: str
    language: str
    before: float
    after: float
    errors: Mapping[int, float]
    n: int
    turned: tuple[int, int] | None = None
    """Of right-or-wrong items of one language: how many became right, how many wrong."""


@dataclass
class _Test:
    """A change's test."""

    change: _Change
    p_value: float
    interval: Callable[[float], tuple[float, float]]
    """The difference's interval at a level such as 0.05."""


def compare(before: Evaluation, after: Evaluation, aligned_layer: int, seed: int) -> list[Comparison]:
    """Compare all that both evaluations measured, with a row a language and one for their mean.

    Metrics of every layer are compared at the aligned layer, at the layer with the best mean over languages
    before (which favours the model before), and as figures over all layers. Items of one number are
    translations of each other in most benchmarks, and are taken together in the mean over languages: gains
    that languages share would else make its interval too narrow.

    Raises:
        DataError: the two did not measure the same items.
    """
    _require_same_versions(before, after)
    old, new = item_scores(before), item_scores(after)

    def figures(metric: Metric, benchmark: str, first: Sequence[Scores]) -> list[_Figure]:
        if not metric.has_layers:
            return [_Figure(metric, None, not metric.hidden, 0)]
        layers = first[0].values.shape[1]
        if not 0 <= aligned_layer < layers:
            raise DataError(f"aligned layer {aligned_layer}: the evaluation has layers 0 to {layers - 1}")
        best = int(np.mean([s.values.mean(0) for s in first], axis=0).argmax())
        chosen = dict.fromkeys([aligned_layer, best])
        return [
            *(_Figure(metric, k, k == aligned_layer and not metric.hidden, k) for k in chosen),
            *(_Figure(s, None, not s.hidden, s.summary) for s in before.summaries(benchmark, metric.name)),
        ]

    return _comparisons(before, old, new, figures, seed)


def compare_models(first: Evaluation, other: Evaluation, seed: int) -> list[Comparison]:
    """Compare two models that need not be equally deep: `before` is the first, `after` the other.

    Metrics of every layer are compared at each model's own best layer (best mean over languages), and
    have None as their layer.

    Raises:
        DataError: the two did not measure the same items.
    """
    _require_same_versions(first, other)
    return _comparisons(
        first,
        at_best_layers(item_scores(first)),
        at_best_layers(item_scores(other)),
        lambda metric, benchmark, scores: [_Figure(metric, None, not metric.hidden, 0)],
        seed,
    )


def write_comparisons(comparisons: Sequence[Comparison], path: Path) -> None:
    """Write comparisons as a JSON list, one a line, whole or not at all."""
    rows = ",\n ".join(json.dumps(asdict(c), allow_nan=False) for c in comparisons)
    write_atomically(path, f"[\n {rows}\n]\n")


def holm(p_values: Sequence[float]) -> tuple[list[float], list[int]]:
    """Holm's (1979) step-down correction of p-values of one family, in their order.

    Returns the adjusted p-values, and by how many tests each was divided: an interval at
    `SIGNIFICANCE` over that number holds 0 exactly where the adjusted p-value is not significant.
    """
    adjusted, tests = [0.0] * len(p_values), [0] * len(p_values)
    running, failed = 0.0, 0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        # From the first that is not significant on, none is: they share its divisor.
        tests[i] = failed or len(p_values) - rank
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = running
        if running >= SIGNIFICANCE:
            failed = failed or tests[i]
    return adjusted, tests


def mcnemar(better: int, worse: int) -> float:
    """Two-sided exact p-value that changes for better and for worse are equally likely."""
    return float(binomtest(better, better + worse).pvalue) if better + worse else 1.0


def mcnemar_interval(better: int, worse: int, n: int, level: float) -> tuple[float, float]:
    """The interval of the difference of two shares of n paired items, at a level such as 0.05.

    The same test turned round: Clopper and Pearson's (1934) interval of the share of changes that are for the
    better, given how many changed.
    """
    changed, tail = better + worse, level / 2
    if not changed:
        return 0.0, 0.0
    low = float(beta.ppf(tail, better, worse + 1)) if better else 0.0
    high = float(beta.ppf(1 - tail, better + 1, worse)) if worse else 1.0
    return (2 * low - 1) * changed / n, (2 * high - 1) * changed / n


def _comparisons(
    evaluation: Evaluation,
    old: AllScores,
    new: AllScores,
    figures_of: Callable[[Metric, str, Sequence[Scores]], list[_Figure]],
    seed: int,
) -> list[Comparison]:
    """Rows of every metric in both; `figures_of` gets a metric, its benchmark and its scores in `old`."""
    groups: list[tuple[str, list[_Change]]] = []
    for benchmark, name in dict.fromkeys(key[:2] for key in old if key in new):
        pairs = _both(old, new, benchmark, name)
        changes: list[_Change] = []
        for figure in figures_of(
            evaluation.metric(benchmark, name), benchmark, [first for first, _ in pairs.values()]
        ):
            own = [_change(figure, benchmark, code, *pair) for code, pair in pairs.items()]
            changes += [*own, _mean(own)]
        groups.append((f"{benchmark}/{name}", changes))
    families = [_family(change) for _, changes in groups for change in changes]
    largest = max((families.count(family) for family in Family), default=0)
    flips = max(FEWEST_FLIPS, FLIPS_A_TEST * largest)
    tests = [
        test
        for name, changes in groups
        for test in _tested(changes, flips, np.random.default_rng([seed, crc32(name.encode())]))
    ]
    rows: dict[int, Comparison] = {}
    for family in Family:
        own_tests = [k for k, found in enumerate(families) if found is family]
        adjusted, divisors = holm([tests[k].p_value for k in own_tests])
        for k, p, divisor in zip(own_tests, adjusted, divisors, strict=True):
            rows[k] = _row(tests[k], family, p, divisor)
    return [rows[k] for k in sorted(rows)]


def _family(change: _Change) -> Family:
    if change.language == MEAN:
        return Family.means if change.figure.headline else Family.unreported
    return Family.languages if change.figure.reported else Family.unreported


def _row(test: _Test, family: Family, p_adjusted: float, divisor: int) -> Comparison:
    change = test.change
    low, high = test.interval(SIGNIFICANCE / divisor)
    return Comparison(
        benchmark=change.benchmark,
        language=change.language,
        metric=change.figure.metric.name,
        layer=change.figure.layer,
        before=change.before,
        after=change.after,
        difference=change.after - change.before,
        low=low,
        high=high,
        p_value=test.p_value,
        p_adjusted=p_adjusted,
        n=change.n,
        family=family,
    )


def _both(old: AllScores, new: AllScores, benchmark: str, metric: str) -> dict[str, tuple[Scores, Scores]]:
    """Language -> scores before and after, of those that both have."""
    keys = [key for key in old if key[:2] == (benchmark, metric) and key in new]
    for key in keys:
        _require_same_items(key, old[key], new[key])
    return {key[2]: (old[key], new[key]) for key in keys}


def _change(figure: _Figure, benchmark: str, language: str, old: Scores, new: Scores) -> _Change:
    before, errors_N = _of(figure, old)
    after, new_errors_N = _of(figure, new)
    turned = None
    if figure.metric.kind is Kind.accuracy:
        gain_N = (new.values - old.values)[:, 0]
        turned = int((gain_N > 0).sum()), int((gain_N < 0).sum())
    errors = (new_errors_N - errors_N) / len(old.index)
    return _Change(
        figure=figure,
        benchmark=benchmark,
        language=language,
        before=before,
        after=after,
        errors=dict(zip(old.index, errors.tolist(), strict=True)),
        n=len(old.index),
        turned=turned,
    )


def _of(figure: _Figure, scores: Scores) -> tuple[float, Array]:
    """A figure's value, and the items' influences on it (N,); that the best layer was chosen is left out."""
    values_L, influences_NL = scores.values.sum(0) / scores.sizes.sum(), scores.influences()
    if figure.at is Summary.mean:
        return float(values_L.mean()), influences_NL.mean(1)
    layer = int(values_L.argmax()) if figure.at is Summary.max else figure.at
    return float(values_L[layer]), influences_NL[:, layer]


def _mean(changes: Sequence[_Change]) -> _Change:
    """The mean over languages: its error is the mean of theirs, item number by item number."""
    errors: dict[int, float] = {}
    for change in changes:
        for item, error in change.errors.items():
            errors[item] = errors.get(item, 0.0) + error / len(changes)
    return _Change(
        figure=changes[0].figure,
        benchmark=changes[0].benchmark,
        language=MEAN,
        before=float(np.mean([c.before for c in changes])),
        after=float(np.mean([c.after for c in changes])),
        errors=errors,
        n=sum(c.n for c in changes),
    )


def _tested(changes: Sequence[_Change], flips: int, rng: np.random.Generator) -> list[_Test]:
    """The changes' tests: McNemar's where items are right or wrong, else by sign flips, the same for all."""
    flipped = iter(_by_flips([c for c in changes if c.turned is None], flips, rng))
    return [next(flipped) if c.turned is None else _exact(c, *c.turned) for c in changes]


def _exact(change: _Change, better: int, worse: int) -> _Test:
    def interval(level: float) -> tuple[float, float]:
        return mcnemar_interval(better, worse, change.n, level)

    return _Test(change, mcnemar(better, worse), interval)


def _by_flips(changes: Sequence[_Change], flips: int, rng: np.random.Generator) -> list[_Test]:
    """The wild bootstrap of the studentised difference (Liu 1988; by clusters: Cameron, Gelbach and Miller
    2008), with random signs: how often |t| is as large as observed, and its quantiles."""
    items = sorted({item for change in changes for item in change.errors})
    column = {item: k for k, item in enumerate(items)}
    errors_GF = np.zeros((len(items), len(changes)))
    for f, change in enumerate(changes):
        for item, error in change.errors.items():
            errors_GF[column[item], f] = error
    counts_F = np.array([float(len(change.errors)) for change in changes])
    squares_F = (errors_GF**2).sum(0)

    def t(sums: Array) -> Array:
        # Signs leave the squares as they are; the mean that these are taken from is that of the flipped.
        spread = np.maximum(squares_F - sums**2 / counts_F, 0) * counts_F / np.maximum(counts_F - 1, 1)
        return np.divide(np.abs(sums), np.sqrt(spread), out=np.zeros_like(sums), where=spread > TINY**2)

    differences_F = np.array([change.after - change.before for change in changes])
    # The items' errors sum to 0: their squares are those from the mean.
    stderrs_F = np.sqrt(squares_F * counts_F / np.maximum(counts_F - 1, 1))
    observed_F = np.divide(
        np.abs(differences_F), stderrs_F, out=np.zeros_like(differences_F), where=stderrs_F > TINY
    )
    as_extreme_F = np.zeros(len(changes))
    largest_KF = np.zeros((0, len(changes)))
    kept = ceil(SIGNIFICANCE * (flips + 1))
    for start in range(0, flips, CHUNK):
        signs_RG = rng.integers(0, 2, (min(CHUNK, flips - start), len(items)), dtype=np.int8) * 2.0 - 1.0
        t_RF = t(signs_RG @ errors_GF)
        # Rounding must not make the observed value rarer than it is.
        as_extreme_F += (t_RF >= observed_F * (1 - 1e-9)).sum(0)
        largest_KF = -np.sort(-np.concatenate([largest_KF, t_RF]), axis=0)[:kept]
    return [
        _flipped(
            change,
            float(stderrs_F[f]),
            float(as_extreme_F[f] + 1) / (flips + 1),
            largest_KF[:, f],
            flips,
        )
        for f, change in enumerate(changes)
    ]


def _flipped(change: _Change, stderr: float, p: float, largest: Array, flips: int) -> _Test:
    """A test by sign flips; `largest` are the largest |t| of the flips, in order."""
    difference = change.after - change.before
    if stderr <= TINY:
        # All items moved alike: only if all signs were equal would a change that is none look like it.
        p = 1.0 if abs(difference) <= TINY else max(2.0 ** (1 - len(change.errors)), 1 / (flips + 1))

    def interval(level: float) -> tuple[float, float]:
        # With this many flips as extreme as the observed t, or fewer, p is below the level.
        allowed = ceil((flips + 1) * level * (1 - 1e-12)) - 2
        width = float(largest[allowed]) * stderr if stderr > TINY else 0.0
        low, high = difference - width, difference + width
        return (low, high) if p < level else (min(low, 0.0), max(high, 0.0))

    return _Test(change, p, interval)


TINY = 1e-12
"""Below this, differences are of rounding."""


def _require_same_items(key: tuple[str, str, str], old: Scores, new: Scores) -> None:
    same = old.index == new.index and old.values.shape == new.values.shape
    if not same or not np.array_equal(old.sizes, new.sizes):
        raise DataError(
            f"{' '.join(key)}: the two evaluations did not measure the same items and layers "
            f"({old.values.shape} and {new.values.shape}); measure both with the same settings"
        )


def _require_same_versions(before: Evaluation, after: Evaluation) -> None:
    versions = {(r.benchmark, r.metric, r.language, r.shots): r.version for r in before.results}
    for r in after.results:
        known = versions.get((r.benchmark, r.metric, r.language, r.shots), r.version)
        if known != r.version:
            raise DataError(
                f"{r.benchmark} {r.metric}: version {known} of the task before, {r.version} after"
            )
