"""Before against after, item by item: intervals, paired tests, and their correction over languages.

Shapes: N items of a language, L layers (1 where a metric has none), R resamples.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from xalign.errors import DataError
from xalign.evaluation.results import LAYER_SUMMARIES, Evaluation, Record, summary_name, write_atomically

RESAMPLES = 2000

MEAN = "mean"
"""Stands in the place of the language in rows over all languages."""

Array = NDArray[np.float64]
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
class _Scores:
    """One metric in one language: values (N, L), sizes (N,); a figure is `values.sum(0) / sizes.sum()`."""

    index: list[int]
    values: Array
    sizes: Array


@dataclass(frozen=True)
class _Figure:
    """What is compared: a metric at one layer, or one figure for all layers."""

    metric: str
    layer: int | None
    reduce: Reduce
    right_or_wrong: bool


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
    before (which favours the model before), and as figures over all layers. The mean's interval resamples
    items within each language, one language apart from the other.

    Raises:
        DataError: the two did not measure the same items.
    """
    _require_same_versions(before, after)
    old, new = _scores(before), _scores(after)
    comparisons: list[Comparison] = []
    for benchmark, metric in dict.fromkeys(key[:2] for key in old if key in new):
        own = [key for key in old if key[:2] == (benchmark, metric) and key in new]
        for key in own:
            _require_same_items(key, old[key], new[key])
        figures = _figures(metric, [old[key] for key in own], aligned_layer)
        changes = {
            key[2]: _changes(
                old[key], new[key], figures, np.random.default_rng([seed, crc32("/".join(key).encode())])
            )
            for key in own
        }
        for k, figure in enumerate(figures):
            comparisons += _rows(benchmark, figure, {lang: c[k] for lang, c in changes.items()})
    return comparisons


def write_comparisons(comparisons: Sequence[Comparison], path: Path) -> None:
    """Write comparisons as a JSON list, one a line, whole or not at all."""
    rows = ",\n ".join(json.dumps(asdict(c), allow_nan=False) for c in comparisons)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, [f"[\n {rows}\n]\n"])


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


def _figures(metric: str, before: Sequence[_Scores], aligned_layer: int) -> list[_Figure]:
    name = metric.split("_")[0]
    if name not in LAYER_SUMMARIES:
        return [_Figure(metric, None, _at(0), name == "accuracy")]
    layers = before[0].values.shape[1]
    if not 0 <= aligned_layer < layers:
        raise DataError(f"aligned layer {aligned_layer}: the evaluation has layers 0 to {layers - 1}")
    best = int(np.mean([s.values.mean(0) for s in before], axis=0).argmax())
    return [
        *(_Figure(metric, k, _at(k), name == "mexa") for k in dict.fromkeys([aligned_layer, best])),
        *(
            _Figure(summary_name(metric, s), None, reduce, False)
            for s, reduce in LAYER_SUMMARIES[name].items()
        ),
    ]


def _at(layer: int) -> Reduce:
    return lambda values: values[..., layer]


def _changes(
    old: _Scores, new: _Scores, figures: Sequence[_Figure], rng: np.random.Generator
) -> list[_Change]:
    n = len(old.index)
    sizes, gain_NL = old.sizes, new.values - old.values
    counts_RN = rng.multinomial(n, np.full(n, 1 / n), size=RESAMPLES).astype(np.float64)
    total_R1 = (counts_RN @ sizes)[:, None]
    old_RL, new_RL = counts_RN @ old.values / total_R1, counts_RN @ new.values / total_R1
    # Exchanged: for each item, which of its two values is called `before` is a coin's toss.
    moved_RL = rng.integers(0, 2, size=(RESAMPLES, n)).astype(np.float64) @ gain_NL
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


def _scores(evaluation: Evaluation) -> dict[tuple[str, str, str], _Scores]:
    """(benchmark, metric, language) -> the items' values."""
    gathered: dict[tuple[str, str, str], list[tuple[int, list[float], float]]] = {}
    for task, records in evaluation.items.items():
        benchmark = task.rsplit(".", 1)[0]
        for record in records:
            for metric, values, size in _values(record):
                key = (benchmark, metric, record["language"])
                gathered.setdefault(key, []).append((record["index"], values, size))
    return {
        key: _Scores(
            [r[0] for r in rows], np.array([r[1] for r in rows], float), np.array([r[2] for r in rows], float)
        )
        for key, rows in gathered.items()
    }


def _values(record: Record) -> Iterator[tuple[str, list[float], float]]:
    """(metric, a value a layer, size) of each figure that an item counts towards."""
    if "bits" in record:
        yield "bits_per_byte", [record["bits"]], record["bytes"]
    elif "forward" in record:
        both = zip(record["forward"], record["backward"], strict=True)
        yield record["metric"], [(f + b) / 2 for f, b in both], 1
    elif "hits" in record:
        yield record["metric"], record["hits"], 1
    else:
        yield "accuracy", [record["prediction"] == record["gold"]], 1
        yield "accuracy_norm", [record["prediction_norm"] == record["gold"]], 1


def _require_same_items(key: tuple[str, str, str], old: _Scores, new: _Scores) -> None:
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
