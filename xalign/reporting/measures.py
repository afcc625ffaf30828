"""The measurements of a run: which there are, their names, before and after, and what is significant."""

from dataclasses import dataclass
from typing import Literal

from xalign.languages import canonical, english_name, is_language
from xalign.reporting.records import MEAN, Difference, Evaluation, Result, Run

SIGNIFICANCE = 0.05
"""Adjusted p-values below this count as significant."""

Verdict = Literal["gain", "loss", "same", "unknown"]
"""`same`: no significant change; `unknown`: not tested."""

LOWER_IS_BETTER = {"bits_per_byte"}
LABELS = {
    "retrieval@1": "Retrieval@1",
    "retrieval@1_centred": "Retrieval@1, centred",
    "mexa": "MEXA",
    "mexa_centred": "MEXA, centred",
    "bits_per_byte": "Bits per byte",
    "translation_choice": "Translation choice",
    "xcopa": "XCOPA",
}
METRIC_ORDER = list(LABELS)
HIDDEN = {
    "mexa_centred",
    "accuracy_norm",
    "retrieval@1_best",
    "retrieval@1_best_centred",
    *(f"mexa_{summary}{centred}" for summary in ("max", "mean") for centred in ("", "_centred")),
}
"""Metrics that say what a column or a main figure says already; they stay in the evaluation files."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One column of a table: a metric of a benchmark, at a layer where the metric has layers."""

    benchmark: str
    metric: str
    layer: int | None = None

    @property
    def label(self) -> str:
        """Heading without the benchmark's name where that is a set of sentences."""
        name = self.benchmark if self.metric == "accuracy" else self.metric
        return LABELS.get(name, name)

    @property
    def heading(self) -> str:
        """Name that stands by itself: metric, layer and set."""
        layer = "" if self.layer is None else f", layer {self.layer}"
        where = "" if self.metric == "accuracy" else f" ({self.benchmark})"
        return f"{self.label}{layer}{where}"

    @property
    def lower_is_better(self) -> bool:
        """Whether a fall is a gain."""
        return self.metric in LOWER_IS_BETTER


@dataclass(frozen=True, kw_only=True)
class Change:
    """One measurement before and after (None where it was not made), with its 95 % interval."""

    before: float | None
    after: float | None
    low: float | None = None
    high: float | None = None
    verdict: Verdict = "unknown"
    before_stderr: float | None = None
    after_stderr: float | None = None

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


def retrieval_sets(run: Run) -> list[str]:
    """Names of the sets of sentences that retrieval was measured on, the config's own set first."""
    found = dict.fromkeys(row.benchmark for row in results_of(run) if row.metric.startswith("retrieval@1"))
    return sorted(found, key=lambda name: name != run.benchmark)


def change_of(run: Run, measure: Measure, language: str) -> Change:
    """Before, after and the paired comparison of one measurement."""
    tested = run.difference(measure.benchmark, measure.metric, language, measure.layer)
    old, new = (_row(evaluation, measure, language) for evaluation in (run.before, run.after))
    if language == MEAN and tested is None:
        return Change(before=_mean(run, run.before, measure), after=_mean(run, run.after, measure))
    return Change(
        before=old.value if old else tested.before if tested else None,
        after=new.value if new else tested.after if tested else None,
        low=tested.low if tested else None,
        high=tested.high if tested else None,
        verdict=verdict_of(tested),
        before_stderr=old.stderr if old else None,
        after_stderr=new.stderr if new else None,
    )


def verdict_of(tested: Difference | None) -> Verdict:
    """Gain, loss or no significant change, by the p-value adjusted for multiple testing."""
    if tested is None or tested.p_adjusted is None:
        return "unknown"
    if tested.p_adjusted >= SIGNIFICANCE or tested.difference == 0:
        return "same"
    return "gain" if (tested.difference < 0) == (tested.metric in LOWER_IS_BETTER) else "loss"


def measures_of(run: Run) -> list[Measure]:
    """What was measured: layered metrics at the aligned layer only, in the order of `LABELS`."""
    found = dict.fromkeys(
        Measure(benchmark=row.benchmark, metric=row.metric, layer=row.layer)
        for row in results_of(run)
        if row.metric not in HIDDEN and row.layer in (None, run.aligned_layer)
    )
    names = [measure.benchmark if measure.metric == "accuracy" else measure.metric for measure in found]
    rank = [METRIC_ORDER.index(name) if name in METRIC_ORDER else len(METRIC_ORDER) for name in names]
    return [measure for _, measure in sorted(zip(rank, found, strict=True), key=lambda pair: pair[0])]


def codes_of(run: Run, measures: list[Measure]) -> set[str]:
    """Languages in which any of these was measured."""
    wanted = {(measure.benchmark, measure.metric) for measure in measures}
    return {row.language for row in results_of(run) if (row.benchmark, row.metric) in wanted} - {MEAN}


def _row(evaluation: Evaluation | None, measure: Measure, language: str) -> Result | None:
    return evaluation.find(measure.benchmark, measure.metric, language, measure.layer) if evaluation else None


def _mean(run: Run, evaluation: Evaluation | None, measure: Measure) -> float | None:
    if evaluation is None:
        return None
    codes = ordered_languages(run, codes_of(run, [measure]) - {run.pivot})
    values = [row.value for code in codes if (row := _row(evaluation, measure, code))]
    return sum(values) / len(values) if values else None


def _tag(code: str) -> str:
    return canonical(code) if is_language(code) else code
