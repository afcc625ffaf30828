"""The measurements of a run: which there are, their names, before and after, and what is significant."""

from dataclasses import dataclass
from typing import Literal

from xalign.evaluation.paired_tests import SIGNIFICANCE
from xalign.evaluation.results import MEAN, Evaluation, Result
from xalign.evaluation.statistics import Comparison
from xalign.languages import canonical, english_name, is_language
from xalign.reporting.records import Run

Verdict = Literal["gain", "loss", "same", "unknown"]
"""`same`: no significant change; `unknown`: not tested."""

LABELS = {
    "retrieval@1": "Retrieval@1",
    "retrieval@1_centred": "Retrieval@1, centred",
    "mexa": "MEXA",
    "mexa_centred": "MEXA, centred",
    "bits_per_byte": "Bits per byte",
    "chrf++_into": "chrF++ into",
    "chrf++_from": "chrF++ from",
    "bleu_into": "BLEU into",
    "bleu_from": "BLEU from",
    "translation_choice": "Translation choice",
    "xnli": "XNLI",
    "pawsx": "PAWS-X",
    "xcopa": "XCOPA",
    "xstorycloze": "XStoryCloze",
    "xwinograd": "XWinograd",
    "belebele": "Belebele",
}
METRIC_ORDER = list(LABELS)
HIDDEN = {
    "mexa_centred",
    "accuracy_norm",
    "accuracy_bytes",
    "calibration_error",
    "near_ties",
    "reference_bits_per_byte_into",
    "reference_bits_per_byte_from",
    "retrieval@1_best",
    "retrieval@1_best_centred",
    *(f"mexa_{summary}{centred}" for summary in ("max", "mean") for centred in ("", "_centred")),
}
"""Metrics that say what a column or a main figure says already; they stay in the evaluation files."""

BEST = {
    "retrieval@1_best": "Retrieval@1, best layer",
    "retrieval@1_best_centred": "Centred, best layer",
}
"""Hidden metrics whose mean over languages is a main figure all the same."""


def is_shown(metric: str, language: str) -> bool:
    """Whether the report states a metric's figure in a language, or its mean: both are corrected apart from
    what it does not state."""
    return metric not in HIDDEN or (language == MEAN and metric in BEST)


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One column of a table: a metric of a benchmark, at a layer where the metric has layers."""

    benchmark: str
    metric: str
    layer: int | None = None

    @property
    def label(self) -> str:
        """Heading without the benchmark's name where that is a set of sentences."""
        return LABELS.get(self._name, self._name)

    @property
    def heading(self) -> str:
        """Name that stands by itself: metric, layer and set."""
        layer = "" if self.layer is None else f", layer {self.layer}"
        where = "" if self.in_context else f" ({self.benchmark})"
        return f"{self.label}{layer}{where}"

    @property
    def rank(self) -> int:
        """Its place among others."""
        return METRIC_ORDER.index(self._name) if self._name in LABELS else len(LABELS)

    @property
    def in_context(self) -> bool:
        """Whether it is the share of questions that the model answers rightly."""
        return self.metric == "accuracy"

    @property
    def generated(self) -> bool:
        """Whether it judges texts that the model wrote."""
        return self.metric.startswith(("chrf++", "bleu"))

    @property
    def lower_is_better(self) -> bool:
        """Whether a fall is a gain."""
        return lower_is_better(self.metric)

    @property
    def unit(self) -> str:
        """What its figures are, in a word or two."""
        if self.layer is not None:
            return f"layer {self.layer}"
        return "lower is better" if self.lower_is_better else "0 to 100" if self.generated else "accuracy"

    @property
    def _name(self) -> str:
        return self.benchmark if self.in_context else self.metric


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


def lower_is_better(metric: str) -> bool:
    """Whether a fall of the metric is a gain."""
    return "bits_per_byte" in metric or metric == "calibration_error"


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
    """Before, after and the paired comparison of one measurement.

    Where it was compared the figures are those of the comparison (chrF++: the mean over sentences).
    """
    tested = run.difference(measure.benchmark, measure.metric, language, measure.layer)
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
        verdict=verdict_of(tested),
        before_stderr=old.stderr if old else None,
        after_stderr=new.stderr if new else None,
        n=counted.n if counted else None,
    )


def chance_of(run: Run, measure: Measure) -> float | None:
    """Accuracy of a guess; None where the run's folder does not tell how many candidates an item has."""
    count = run.candidates.get(measure.benchmark)
    return 1 / count if count else None


def verdict_of(tested: Comparison | None) -> Verdict:
    """Gain, loss or no significant change, by the p-value adjusted for multiple testing."""
    if tested is None:
        return "unknown"
    if tested.p_adjusted >= SIGNIFICANCE or tested.difference == 0:
        return "same"
    return "gain" if (tested.difference < 0) == lower_is_better(tested.metric) else "loss"


def measures_of(run: Run) -> list[Measure]:
    """What was measured: layered metrics at the aligned layer only, in the order of `LABELS`."""
    found = dict.fromkeys(
        Measure(benchmark=row.benchmark, metric=row.metric, layer=row.layer)
        for row in results_of(run)
        if row.metric not in HIDDEN and row.layer in (None, run.aligned_layer)
    )
    return sorted(found, key=lambda measure: measure.rank)


def codes_of(run: Run, measures: list[Measure]) -> set[str]:
    """Languages in which any of these was measured."""
    wanted = {(measure.benchmark, measure.metric) for measure in measures}
    return {row.language for row in results_of(run) if (row.benchmark, row.metric) in wanted} - {MEAN}


def _row(evaluation: Evaluation | None, measure: Measure, language: str) -> Result | None:
    return evaluation.find(measure.benchmark, measure.metric, language, measure.layer) if evaluation else None


def _mean(run: Run, evaluation: Evaluation | None, measure: Measure) -> float | None:
    rows = [_row(evaluation, measure, code) for code in codes_of(run, [measure])]
    values = [row.value for row in rows if row]
    return sum(values) / len(values) if values else None


def _tag(code: str) -> str:
    return canonical(code) if is_language(code) else code
