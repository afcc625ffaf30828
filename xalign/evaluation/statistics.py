"""Before against after, item by item: tests, the intervals that they invert to, their corrections.

Shapes: N items of a language, L layers (1 where a metric has none), M items of all languages together.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from zlib import crc32

import numpy as np

from xalign.base.errors import DataError
from xalign.base.files import write_atomically
from xalign.evaluation.contributions import (
    Contributions,
    Reduce,
    Scores,
    all_items,
    contributions,
    first_layer,
)
from xalign.evaluation.item_scores import AllScores, at_best_layers, item_scores
from xalign.evaluation.metrics import MEAN, Kind, Metric, Summary
from xalign.evaluation.paired_tests import SIGNIFICANCE, Outcome, holm, last_step, mcnemar, sign_flips
from xalign.evaluation.results import Evaluation


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How a figure changed, from the items of one run before and after it.

    `p_value`: McNemar's exact test for right-or-wrong items; else a permutation test, which exchanges before
    and after of an item in all languages at once. `low` and `high`: the 95 % interval of the difference by
    itself, which the same test inverts to: 0 is outside just where `p_value` is below 0.05.

    `p_adjusted`: corrected after Holm over all that the report states in one breath. There are two such
    families: every language in every metric and benchmark that it shows ("of 160 comparisons 40 improved
    significantly", "significantly better in ..."), and the means over languages of all of them ("the mean
    improved significantly in ..."), whose p-values are of tests of their own. What the report does not
    show, other layers and metrics, makes two more. `comparisons` is the size of the family. Several models
    against a first one are corrected together.

    `low_adjusted` and `high_adjusted`: the same interval at the level at which Holm's correction ends
    (`level_adjusted`, from 95 % up). 0 is outside just where `p_adjusted` is below 0.05. It covers the true
    difference with at least 95 % whatever else is compared: exactly for right-or-wrong items, nearly for
    others, unless fewer than about ten items changed. All intervals are None where there are too few items
    for one, or none changed (but right-or-wrong items always have some); of comparisons by earlier versions,
    which did not test what their intervals said, the adjusted ones are.
    """

    benchmark: str
    language: str
    metric: str
    layer: int | None
    before: float
    after: float
    difference: float
    low: float | None
    high: float | None
    p_value: float
    p_adjusted: float
    n: int
    low_adjusted: float | None = None
    high_adjusted: float | None = None
    level_adjusted: float | None = None
    comparisons: int | None = None


@dataclass(frozen=True)
class _Figure:
    """What is compared: a metric at one layer, or one figure for all layers.

    `main`: of what the report shows, not of another layer.
    """

    metric: Metric
    layer: int | None
    reduce: Reduce
    main: bool = True

    @property
    def right_or_wrong(self) -> bool:
        """Whether items have a 0 or a 1, each by itself: McNemar's test fits them."""
        return self.metric.kind is Kind.accuracy


@dataclass(frozen=True)
class _Change:
    """A figure before and after, in a language or on average over languages.

    `better` and `worse` count right-or-wrong items that changed; None for other items.
    """

    benchmark: str
    language: str
    figure: _Figure
    before: float
    after: float
    change: Contributions
    better: int | None
    worse: int | None
    n: int


def compare(
    before: Evaluation,
    after: Evaluation,
    aligned_layer: int,
    seed: int,
) -> list[Comparison]:
    """Compare all that both evaluations measured, with a row a language and one for their mean.

    Metrics of every layer are compared at the aligned layer, at the layer with the best mean over languages
    before (which favours the model before), and as figures over all layers. Items of one number are
    translations of each other in most benchmarks, and are resampled together in all languages: gains that
    languages share would else make the interval of their mean too narrow. What a
    report states, by the metrics' records, is corrected together.

    Raises:
        DataError: the two did not measure the same items.
    """
    _require_same_versions(before, after)
    changes = _changes(
        before,
        item_scores(before),
        item_scores(after),
        lambda benchmark, metric, own: _figures(before, benchmark, metric, own, aligned_layer),
    )
    return _compared(list(changes), seed)


def compare_models(evaluations: Sequence[Evaluation], seed: int) -> list[list[Comparison]]:
    """Compare the first model with each of the others, which need not be equally deep: `before` is the first.

    Metrics of every layer are compared at each model's own best layer (best mean over languages), and
    have None as their layer. What is claimed of all models is corrected together.

    Raises:
        DataError: the models did not measure the same items.
    """
    first, *others = evaluations
    changes = []
    for other in others:
        _require_same_versions(first, other)
        changes.append(
            list(
                _changes(
                    first,
                    at_best_layers(item_scores(first)),
                    at_best_layers(item_scores(other)),
                    lambda benchmark, metric, own: [_Figure(metric, None, first_layer)],
                )
            )
        )
    compared = iter(_compared([change for own in changes for change in own], seed))
    return [[next(compared) for _ in own] for own in changes]


def _changes(
    evaluation: Evaluation,
    old: AllScores,
    new: AllScores,
    figures_of: Callable[[str, Metric, Sequence[Scores]], list[_Figure]],
) -> Iterator[_Change]:
    """Changes of every metric in both; `figures_of` gets a benchmark, a metric and its scores in `old`."""
    for benchmark in dict.fromkeys(key[0] for key in old if key in new):
        shared = [key for key in old if key[0] == benchmark and key in new]
        items = all_items([old[key] for key in shared])
        for metric in dict.fromkeys(key[1] for key in shared):
            own = [key for key in shared if key[1] == metric]
            for key in own:
                _require_same_items(key, old[key], new[key])
            record = evaluation.metric(benchmark, metric)
            for figure in figures_of(benchmark, record, [old[key] for key in own]):
                changes = [
                    _change(benchmark, key[2], figure, *_comparable(old[key], new[key]), items) for key in own
                ]
                yield from changes
                yield _mean(changes)


def _comparable(old: Scores, new: Scores) -> tuple[Scores, Scores]:
    """Both without rivals where one lacks them: older files do not say them."""
    if old.rivals is None or new.rivals is None:
        return replace(old, rivals=None), replace(new, rivals=None)
    return old, new


def _change(
    benchmark: str, language: str, figure: _Figure, old: Scores, new: Scores, items: Sequence[int]
) -> _Change:
    before, after = (contributions(own, figure.reduce, items) for own in (old, new))
    better = worse = None
    if figure.right_or_wrong:
        gains_N = figure.reduce(new.values) - figure.reduce(old.values)
        better, worse = int((gains_N > 0).sum()), int((gains_N < 0).sum())
    return _Change(
        benchmark=benchmark,
        language=language,
        figure=figure,
        before=before.figure,
        after=after.figure,
        change=after.minus(before),
        better=better,
        worse=worse,
        n=len(old.index),
    )


def _mean(changes: Sequence[_Change]) -> _Change:
    if len(changes) == 1:  # of one language: the same figure, by the same test
        return replace(changes[0], language=MEAN)
    return replace(
        changes[0],
        language=MEAN,
        before=float(np.mean([c.before for c in changes])),
        after=float(np.mean([c.after for c in changes])),
        change=Contributions.mean([c.change for c in changes]),
        better=None,
        worse=None,
        n=sum(c.n for c in changes),
    )


def _compared(changes: Sequence[_Change], seed: int) -> list[Comparison]:
    """The changes tested, family by family."""
    families: dict[tuple[bool, bool], list[int]] = {}
    for i, c in enumerate(changes):
        family = (c.language == MEAN, c.figure.main and c.figure.metric.is_stated(c.language))
        families.setdefault(family, []).append(i)
    rows: dict[int, Comparison] = {}
    for own in families.values():
        outcomes = _outcomes([changes[i] for i in own], seed)
        adjusted = holm([outcome.p_value for outcome in outcomes])
        last = last_step(adjusted)
        for i, outcome, p in zip(own, outcomes, adjusted, strict=True):
            rows[i] = _row(changes[i], outcome, p, last, len(own))
    return [rows[i] for i in range(len(changes))]


def _outcomes(family: Sequence[_Change], seed: int) -> list[Outcome]:
    outcomes: dict[int, Outcome] = {}
    by_benchmark: dict[str, list[int]] = {}
    for i, c in enumerate(family):
        if c.better is not None and c.worse is not None:
            outcomes[i] = mcnemar(c.better, c.worse, c.n)
        else:
            by_benchmark.setdefault(c.benchmark, []).append(i)
    for benchmark, own in by_benchmark.items():
        changes = [family[i].change for i in own]
        values = np.stack([c.deviations + c.weights * c.figure for c in changes], 1)
        weights = np.stack([c.weights for c in changes], 1)
        found = sign_flips(values, weights, len(family), [seed, crc32(benchmark.encode())])
        outcomes.update(zip(own, found, strict=True))
    return [outcomes[i] for i in range(len(family))]


def _row(change: _Change, outcome: Outcome, adjusted: float, last: int, comparisons: int) -> Comparison:
    low, high = outcome.interval(1) or (None, None)
    low_adjusted, high_adjusted = outcome.interval(last) or (None, None)
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
        p_value=outcome.p_value,
        p_adjusted=adjusted,
        n=change.n,
        low_adjusted=low_adjusted,
        high_adjusted=high_adjusted,
        level_adjusted=1 - SIGNIFICANCE / last,
        comparisons=comparisons,
    )


def write_comparisons(comparisons: Sequence[Comparison], path: Path) -> None:
    """Write comparisons as a JSON list, one a line, whole or not at all."""
    rows = ",\n ".join(json.dumps(asdict(c), allow_nan=False) for c in comparisons)
    write_atomically(path, f"[\n {rows}\n]\n")


def _figures(
    evaluation: Evaluation, benchmark: str, metric: Metric, before: Sequence[Scores], aligned_layer: int
) -> list[_Figure]:
    if not metric.has_layers:
        return [_Figure(metric, None, first_layer)]
    layers = before[0].values.shape[1]
    if not 0 <= aligned_layer < layers:
        raise DataError(f"aligned layer {aligned_layer}: the evaluation has layers 0 to {layers - 1}")
    best = int(np.mean([s.values.mean(0) for s in before], axis=0).argmax())
    return [
        *(_Figure(metric, k, _at(k), main=k == aligned_layer) for k in dict.fromkeys([aligned_layer, best])),
        *(
            _Figure(own, None, over_layers(own.summary))
            for own in evaluation.summaries(benchmark, metric.name)
            if own.summary is not None
        ),
    ]


def over_layers(summary: Summary) -> Reduce:
    """From values of every layer to what is said of all layers."""
    match summary:
        case Summary.max:
            return lambda values: values.max(-1)
        case Summary.mean:
            return lambda values: values.mean(-1)


def _at(layer: int) -> Reduce:
    return lambda values: values[..., layer]


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
