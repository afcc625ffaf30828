"""The measurements of a run: which there are, their names, before and after, and what is significant."""

from dataclasses import dataclass
from typing import Literal

from xalign.base.languages import canonical, english_name, is_language
from xalign.evaluation.metrics import MEAN, Kind, Metric
from xalign.evaluation.paired_tests import SIGNIFICANCE
from xalign.evaluation.results import Evaluation, Result
from xalign.evaluation.statistics import Comparison
from xalign.reporting.records import Run

Verdict = Literal["gain", "loss", "same", "unknown"]
"""`same`: no significant change; `unknown`: not tested."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One column of a table: a metric of a benchmark, at a layer where the metric has layers."""

    benchmark: str
    metric: Metric
    layer: int | None = None

    @property
    def name(self) -> str:
        """The metric's name."""
        return self.metric.name

    @property
    def label(self) -> str:
        """Heading without the benchmark's name where that is a set of sentences."""
        return self.metric.label

    @property
    def heading(self) -> str:
        """Name that stands by itself: metric, layer and set."""
        layer = "" if self.layer is None else f", layer {self.layer}"
        where = "" if self.in_context else f" ({self.benchmark})"
        return f"{self.label}{layer}{where}"

    @property
    def in_context(self) -> bool:
        """Whether it is the share of questions that the model answers rightly."""
        return self.metric.kind is Kind.accuracy

    @property
    def generated(self) -> bool:
        """Whether it judges texts that the model wrote."""
        return self.metric.kind is Kind.translation

    @property
    def lower_is_better(self) -> bool:
        """Whether a fall is a gain."""
        return not self.metric.higher_is_better

    @property
    def unit(self) -> str:
        """What its figures are, in a word or two."""
        return self.metric.unit if self.layer is None else f"layer {self.layer}"


@dataclass(frozen=True, kw_only=True)
class Change:
    """One measurement before and after (None where it was not made), with the interval of the difference.

    The interval is the one that agrees with the verdict (`Comparison.low_adjusted`); over seeds it is a
    t interval, with no verdict. `n` counts items; `p_adjusted` is None where nothing was tested.
    """

    before: float | None
    after: float | None
    low: float | None = None
    high: float | None = None
    p_adjusted: float | None = None
    verdict: Verdict = "unknown"
    before_stderr: float | None = None
    after_stderr: float | None = None
    n: int | None = None

    @property
    def difference(self) -> float | None:
        """After minus before."""
        return None if self.before is None or self.after is None else self.after - self.before


def language_name(code: str) -> str:
    """English name of a language code, or the code itself where it is none."""
    return english_name(code) if is_language(code) else code


def role_of(run: Run, code: str) -> str:
    """`pivot`, `trained` or `unseen`."""
    if _tag(code) == _tag(run.pivot):
        return "pivot"
    return "trained" if _tag(code) in map(_tag, run.targets) else "unseen"


def ordered_languages(run: Run, codes: set[str]) -> list[str]:
    """The config's order (pivot, targets, unseen), then the others by code."""
    order = [_tag(code) for code in (run.pivot, *run.targets, *run.unseen)]
    place = {code: order.index(_tag(code)) if _tag(code) in order else len(order) for code in codes - {MEAN}}
    return sorted(place, key=lambda code: (place[code], code))


def results_of(run: Run) -> list[Result]:
    """All rows, before and after."""
    return [row for evaluation in run.evaluations.values() for row in evaluation.results]


def sentence_sets(run: Run) -> list[str]:
    """Names of the sets whose sentences were matched with their translations, the config's own set first."""
    found = dict.fromkeys(
        row.benchmark
        for row in results_of(run)
        if row.layer is not None and run.metric(row.benchmark, row.metric).kind is Kind.match
    )
    return sorted(found, key=lambda name: name != run.benchmark)


def matching_of(run: Run, benchmark: str) -> Metric | None:
    """The metric of matching that pictures and main figures show: the first that the set was measured by."""
    for row in results_of(run):
        metric = run.metric(row.benchmark, row.metric)
        if row.benchmark == benchmark and metric.kind is Kind.match and metric.has_layers:
            return metric
    return None


def measure_of(run: Run, benchmark: str, name: str, layer: int | None = None) -> Measure:
    """A measure by the names of its benchmark and metric."""
    return Measure(benchmark=benchmark, metric=run.metric(benchmark, name), layer=layer)


def change_of(run: Run, measure: Measure, language: str) -> Change:
    """Before, after and the paired comparison of one measurement.

    Where it was compared the figures are those of the comparison (chrF++: the mean over sentences).
    """
    tested = run.difference(measure.benchmark, measure.name, language, measure.layer)
    old, new = (_row(evaluation, measure, language) for evaluation in (run.before, run.after))
    counted = tested or old or new
    before, after = (row.value if row else None for row in (old, new))
    if language == MEAN:
        before, after = (_mean(run, evaluation, measure) for evaluation in (run.before, run.after))
    return Change(
        before=tested.before if tested else before,
        after=tested.after if tested else after,
        low=tested.low_adjusted if tested else None,
        high=tested.high_adjusted if tested else None,
        p_adjusted=tested.p_adjusted if tested else None,
        verdict=verdict_of(tested, measure.metric),
        before_stderr=old.stderr if old else None,
        after_stderr=new.stderr if new else None,
        n=counted.n if counted else None,
    )


def verdict_of(tested: Comparison | None, metric: Metric) -> Verdict:
    """Gain, loss or no significant change, by the p-value adjusted for multiple testing."""
    if tested is None:
        return "unknown"
    if tested.p_adjusted >= SIGNIFICANCE or tested.difference == 0:
        return "same"
    return "gain" if (tested.difference > 0) == metric.higher_is_better else "loss"


def measures_of(run: Run) -> list[Measure]:
    """What tables show: layered metrics at the aligned layer only, in the order in which tasks give them."""
    found = dict.fromkeys((row.benchmark, row.metric, row.layer) for row in results_of(run))
    measures = [measure_of(run, *own) for own in found if own[2] in (None, run.aligned_layer)]
    order = run.metric_order
    return sorted(
        (measure for measure in measures if not measure.metric.hidden),
        key=lambda measure: order.get((measure.benchmark, measure.name), len(order)),
    )


def codes_of(run: Run, measures: list[Measure]) -> set[str]:
    """Languages in which any of these was measured."""
    wanted = {(measure.benchmark, measure.name) for measure in measures}
    return {row.language for row in results_of(run) if (row.benchmark, row.metric) in wanted} - {MEAN}


def _row(evaluation: Evaluation | None, measure: Measure, language: str) -> Result | None:
    return evaluation.find(measure.benchmark, measure.name, language, measure.layer) if evaluation else None


def _mean(run: Run, evaluation: Evaluation | None, measure: Measure) -> float | None:
    rows = [_row(evaluation, measure, code) for code in codes_of(run, [measure])]
    values = [row.value for row in rows if row]
    return sum(values) / len(values) if values else None


def _tag(code: str) -> str:
    return canonical(code) if is_language(code) else code
