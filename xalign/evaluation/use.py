"""What alignment cost of a model's use: the figures of use that got significantly worse.

Metrics that say what a model is worth in use (`Metric.harm`) make one family, languages and means together,
so that a harmless run is accused of anything at all in at most one of twenty cases.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from xalign.evaluation.figures import matches
from xalign.evaluation.metrics import MEAN, Metric
from xalign.evaluation.paired_tests import SIGNIFICANCE, holm
from xalign.evaluation.results import Evaluation
from xalign.evaluation.statistics import Comparison, compare

NEGLIGIBLE = 0.002
"""A change by a smaller share of the figure is no loss: that much the arithmetic (bf16) leaves open."""


@dataclass(frozen=True)
class Harm:
    """A figure of use that got significantly worse, in a language or on average (`MEAN`)."""

    metric: Metric
    comparison: Comparison


def harms_of(comparisons: Sequence[Comparison], metric_of: Callable[[str, str], Metric]) -> list[Harm] | None:
    """The figures of use that got worse, means first; None where none was compared.

    `metric_of` gives the record of a metric by the names of its benchmark and its own.
    """
    own = [c for c in comparisons if metric_of(c.benchmark, c.metric).harm is not None]
    if not own:
        return None
    found = []
    for comparison, p_adjusted in zip(own, holm([c.p_value for c in own]), strict=True):
        metric = metric_of(comparison.benchmark, comparison.metric)
        worse = -comparison.difference if metric.higher_is_better else comparison.difference
        if p_adjusted < SIGNIFICANCE and worse > NEGLIGIBLE * abs(comparison.before):
            found.append(Harm(metric, comparison))
    return sorted(found, key=lambda harm: harm.comparison.language != MEAN)


def harmless_alignment(
    before: Evaluation, now: Evaluation, benchmark: str, aligned_layer: int, seed: int
) -> float:
    """The value of `HARMLESS`: how aligned a model is that lost nothing in use, below 0 where it lost.

    Raises:
        DataError: the two did not measure the same items.
    """
    comparisons = compare(before, now, aligned_layer=aligned_layer, seed=seed)
    harms = harms_of(comparisons, now.metric)
    if harms:
        return -float(len(harms))
    aligned = next(metric for metric in now.metrics[benchmark] if matches(metric))
    return now.mean_by_layer(benchmark, aligned.name)[aligned_layer]
