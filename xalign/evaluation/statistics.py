"""Before against after, item by item: intervals, paired tests, and their correction over languages.

Shapes: N items of a language, L layers (1 where a metric has none), R resamples.
"""

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from xalign.errors import DataError
from xalign.evaluation.item_scores import AllScores, Array, Scores, at_best_layers, item_scores
from xalign.evaluation.results import LAYER_SUMMARIES, MEAN, Evaluation, summary_name
from xalign.files import write_atomically

RESAMPLES = 2000

RIGHT_OR_WRONG = {"accuracy", "mexa"}
"""First words of metrics that have a 0 or a 1 an item: McNemar's test fits them."""

Reduce = Callable[[Array], Array]
"""From values of every layer (..., L) to one figure (...)."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How a figure changed. `low` and `high` bound the difference (95 %, paired bootstrap over items).

    `p_value`: McNemar's exact test for right-or-wrong items, else a paired permutation test;
    `p_adjusted`: Holm's correction over the languages of the same metric and layer.
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


@dataclass(frozen=True)
class _Figure:
    """What is compared: a metric at one layer, or one figure for all layers."""

    metric: str
    layer: int | None
    reduce: Reduce
    right_or_wrong: bool


@dataclass(frozen=True)
class _Chance:
    """What chance does with each item, whatever its language: a column an item number."""

    column: dict[int, int]
    counts: NDArray[np.uint8]
    """How often the item is in each resample (R, items): Poisson with mean 1, which stands for drawing with
    replacement (Hanley and MacGibbon 2006) and does not mind that languages lack items."""
    exchanged: NDArray[np.uint8]
    """Whether its values before and after change places (R, items)."""

    @classmethod
    def drawn(cls, items: Collection[int], rng: np.random.Generator) -> Self:
        shape = (RESAMPLES, len(items))
        counts, exchanged = rng.poisson(1, shape), rng.integers(0, 2, shape)
        column = {item: k for k, item in enumerate(sorted(items))}
        return cls(column, counts.astype(np.uint8), exchanged.astype(np.uint8))

    def of(self, items: Sequence[int]) -> tuple[Array, Array]:
        """Counts and exchanges of some items, each (R, N)."""
        columns = [self.column[item] for item in items]
        counts, exchanged = (drawn[:, columns].astype(np.float64) for drawn in (self.counts, self.exchanged))
        # A handful of items can all be left out at once: such a resample has each once.
        counts[counts.sum(1) == 0] = 1
        return counts, exchanged


@dataclass(frozen=True)
class _Change:
    """A figure before and after, its differences (R,) under resampling and under exchange of the two."""

    before: float
    after: float
    resampled: Array
    exchanged: Array
    p_exact: float | None
    n: int


def compare(before: Evaluation, after: Evaluation, aligned_layer: int, seed: int) -> list[Comparison]:
    """Compare all that both evaluations measured, with a row a language and one for their mean.

    Metrics of every layer are compared at the aligned layer, at the layer with the best mean over languages
    before (which favours the model before), and as figures over all layers. Items of one number are
    translations of each other in most benchmarks, and are resampled together in all languages: gains that
    languages share would else make the interval of their mean too narrow.

    Raises:
        DataError: the two did not measure the same items.
    """
    _require_same_versions(before, after)
    return _comparisons(
        item_scores(before),
        item_scores(after),
        lambda metric, own: _figures(metric, own, aligned_layer),
        seed,
    )


def compare_models(first: Evaluation, other: Evaluation, seed: int) -> list[Comparison]:
    """Compare two models that need not be equally deep: `before` is the first, `after` the other.

    Metrics of every layer are compared at each model's own best layer (best mean over languages), and
    have None as their layer.

    Raises:
        DataError: the two did not measure the same items.
    """
    _require_same_versions(first, other)
    return _comparisons(
        at_best_layers(item_scores(first)),
        at_best_layers(item_scores(other)),
        lambda metric, own: [_Figure(metric, None, _at(0), metric.split("_")[0] in RIGHT_OR_WRONG)],
        seed,
    )


def _comparisons(
    old: AllScores,
    new: AllScores,
    figures_of: Callable[[str, Sequence[Scores]], list[_Figure]],
    seed: int,
) -> list[Comparison]:
    """Rows of every metric in both; `figures_of` gets a metric's name and its scores in `old`."""
    comparisons: list[Comparison] = []
    for benchmark, metric in dict.fromkeys(key[:2] for key in old if key in new):
        own = [key for key in old if key[:2] == (benchmark, metric) and key in new]
        for key in own:
            _require_same_items(key, old[key], new[key])
        figures = figures_of(metric, [old[key] for key in own])
        rng = np.random.default_rng([seed, crc32(f"{benchmark}/{metric}".encode())])
        chance = _Chance.drawn({i for key in own for i in old[key].index}, rng)
        changes = {key[2]: _changes(old[key], new[key], figures, chance) for key in own}
        for k, figure in enumerate(figures):
            comparisons += _rows(benchmark, figure, {lang: c[k] for lang, c in changes.items()})
    return comparisons


def write_comparisons(comparisons: Sequence[Comparison], path: Path) -> None:
    """Write comparisons as a JSON list, one a line, whole or not at all."""
    rows = ",\n ".join(json.dumps(asdict(c), allow_nan=False) for c in comparisons)
    write_atomically(path, f"[\n {rows}\n]\n")


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's (1979) step-down correction of p-values of one family, in their order."""
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = running
    return adjusted


def mcnemar(before_N: Array, after_N: Array) -> float:
    """Two-sided exact p-value that changes for better and for worse are equally likely."""
    better, worse = int((after_N > before_N).sum()), int((after_N < before_N).sum())
    return float(binomtest(better, better + worse).pvalue) if better + worse else 1.0


def _figures(metric: str, before: Sequence[Scores], aligned_layer: int) -> list[_Figure]:
    name = metric.split("_")[0]
    if name not in LAYER_SUMMARIES:
        return [_Figure(metric, None, _at(0), name in RIGHT_OR_WRONG)]
    layers = before[0].values.shape[1]
    if not 0 <= aligned_layer < layers:
        raise DataError(f"aligned layer {aligned_layer}: the evaluation has layers 0 to {layers - 1}")
    best = int(np.mean([s.values.mean(0) for s in before], axis=0).argmax())
    return [
        *(_Figure(metric, k, _at(k), name in RIGHT_OR_WRONG) for k in dict.fromkeys([aligned_layer, best])),
        *(
            _Figure(summary_name(metric, s), None, reduce, False)
            for s, reduce in LAYER_SUMMARIES[name].items()
        ),
    ]


def _at(layer: int) -> Reduce:
    return lambda values: values[..., layer]


def _changes(old: Scores, new: Scores, figures: Sequence[_Figure], chance: _Chance) -> list[_Change]:
    n = len(old.index)
    sizes, gain_NL = old.sizes, new.values - old.values
    counts_RN, exchanged_RN = chance.of(old.index)
    total_R1 = (counts_RN @ sizes)[:, None]
    old_RL, new_RL = counts_RN @ old.values / total_R1, counts_RN @ new.values / total_R1
    # Exchanged: for each item, which of its two values is called `before` is a coin's toss.
    moved_RL = exchanged_RN @ gain_NL
    old_L, new_L = old.values.sum(0), new.values.sum(0)
    return [
        _Change(
            before=float(f.reduce(old_L / sizes.sum())),
            after=float(f.reduce(new_L / sizes.sum())),
            resampled=f.reduce(new_RL) - f.reduce(old_RL),
            exchanged=f.reduce((new_L - moved_RL) / sizes.sum()) - f.reduce((old_L + moved_RL) / sizes.sum()),
            p_exact=mcnemar(f.reduce(old.values), f.reduce(new.values)) if f.right_or_wrong else None,
            n=n,
        )
        for f in figures
    ]


def _rows(benchmark: str, figure: _Figure, changes: dict[str, _Change]) -> Iterator[Comparison]:
    p_values = [_p_value(change) for change in changes.values()]
    for (language, change), p, adjusted in zip(changes.items(), p_values, holm(p_values), strict=True):
        yield _row(benchmark, language, figure, change, p, adjusted)
    every = list(changes.values())
    mean = _Change(
        before=float(np.mean([c.before for c in every])),
        after=float(np.mean([c.after for c in every])),
        resampled=np.mean([c.resampled for c in every], axis=0),
        exchanged=np.mean([c.exchanged for c in every], axis=0),
        p_exact=None,
        n=sum(c.n for c in every),
    )
    p = _p_value(mean)
    yield _row(benchmark, MEAN, figure, mean, p, p)


def _row(
    benchmark: str, language: str, figure: _Figure, change: _Change, p: float, adjusted: float
) -> Comparison:
    low, high = np.quantile(change.resampled, [0.025, 0.975])
    return Comparison(
        benchmark=benchmark,
        language=language,
        metric=figure.metric,
        layer=figure.layer,
        before=change.before,
        after=change.after,
        difference=change.after - change.before,
        low=float(low),
        high=float(high),
        p_value=p,
        p_adjusted=adjusted,
        n=change.n,
    )


def _p_value(change: _Change) -> float:
    if change.p_exact is not None:
        return change.p_exact
    # The observed assignment is one of the possible ones; rounding must not make it rarer than it is.
    extreme = np.abs(change.exchanged) >= abs(change.after - change.before) - 1e-12
    return float((extreme.sum() + 1) / (len(extreme) + 1))


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
