"""What figures are: one record a metric, which says how it is read, shown and compared.

A task says which metrics it gives; evaluation files carry the records, so that a report needs to know no
metric by name. Imports nothing heavy: the names of figures are checked before anything is loaded.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from xalign.config.choices import Pooling

MEAN = "mean"
"""Stands in the place of the language in rows over all languages."""


class Kind(StrEnum):
    """What a metric says of an item; how it is tested follows."""

    accuracy = "accuracy"
    """Whether the model answered a question rightly: 0 or 1."""
    match = "match"
    """Whether a sentence is matched with its translation among others, which share the candidates."""
    bits = "bits"
    """Bits a byte of text."""
    translation = "translation"
    """A score of a translation that the model wrote, 0 to 100."""
    other = "other"
    """Any other value an item."""
    whole = "whole"
    """A figure of a whole set that is no mean over its items: it is not tested."""


class Shown(StrEnum):
    """Where a report shows a metric."""

    table = "table"
    """In tables, pictures and findings."""
    headline = "headline"
    """Its mean over languages, among the main figures."""
    nowhere = "nowhere"
    """It says what another figure says already, and stays in the evaluation files."""


class Summary(StrEnum):
    """What is said of all layers together."""

    max = "max"
    mean = "mean"


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric of a benchmark."""

    name: str
    label: str
    """Heading of a column, without the benchmark's name where that is a set of sentences."""
    higher_is_better: bool = True
    kind: Kind = Kind.other
    has_layers: bool = False
    """Whether there is a value a layer."""
    shown: Shown = Shown.table
    chance: float | None = None
    """The value of a guess, where that is known."""
    summary: Summary | None = None
    """What it is of the layers' values, of a figure for all layers."""
    of: str | None = None
    """The metric of which it is a figure for all layers."""
    harm: str | None = None
    """What is said, with the `{language}`, of a model that got significantly worse; None: the metric does not
    say what a model is worth in use."""

    def is_stated(self, language: str) -> bool:
        """Whether a report states its figure in a language, or the mean over them."""
        return self.shown is Shown.table or (self.shown is Shown.headline and language == MEAN)

    @property
    def hidden(self) -> bool:
        """Whether tables leave it out."""
        return self.shown is not Shown.table

    @property
    def unit(self) -> str:
        """What its figures are, in a word or two."""
        if not self.higher_is_better:
            return "lower is better"
        return "0 to 100" if self.kind is Kind.translation else "accuracy"


RETRIEVAL = Metric(name="retrieval@1", label="Retrieval@1", kind=Kind.match, has_layers=True)
MEXA = Metric(name="mexa", label="MEXA", kind=Kind.match, has_layers=True)
BITS_PER_BYTE = Metric(
    name="bits_per_byte",
    label="Bits per byte",
    kind=Kind.bits,
    higher_is_better=False,
    harm="predicts text in {language} worse",
)
CHRF = Metric(name="chrf++", label="chrF++", kind=Kind.translation)
BLEU = Metric(name="bleu", label="BLEU", kind=Kind.translation)
REFERENCE_BITS = Metric(
    name="reference_bits_per_byte",
    label="Bits per byte of the reference",
    kind=Kind.whole,
    higher_is_better=False,
    shown=Shown.nowhere,
)
ACCURACY = Metric(name="accuracy", label="Accuracy", kind=Kind.accuracy)
CALIBRATION_ERROR = Metric(
    name="calibration_error",
    label="Calibration error",
    kind=Kind.whole,
    higher_is_better=False,
    shown=Shown.nowhere,
)
NEAR_TIES = Metric(
    name="near_ties", label="Near-ties", kind=Kind.whole, higher_is_better=False, shown=Shown.nowhere
)
HARMLESS = Metric(
    name="harmless",
    label="Alignment without harm",
    kind=Kind.whole,
)
"""During training: alignment at the aligned layer, mean over languages, of a model that has lost nothing
significant in use since training began; of any other, minus the number of figures of use that got worse."""

SUMMARIES: Mapping[str, Mapping[str, Summary]] = {
    RETRIEVAL.name: {"best": Summary.max},
    MEXA.name: {"max": Summary.max, "mean": Summary.mean},
}
"""Metric with layers -> figure for all layers -> what that is."""


def layered(metric: Metric, poolings: Iterable[Pooling]) -> Iterator[Metric]:
    """A metric of sentence vectors in all its variants: poolings, raw and centred, each layer and in all.

    `retrieval@1`, `retrieval@1_centred`, `retrieval@1_last`, `retrieval@1_best_centred_last` ...
    """
    for pooling in poolings:
        for centred in (False, True):
            ending = "_centred" * centred + f"_{pooling}" * (pooling is not Pooling.mean)
            label = metric.label + ", centred" * centred + f", {pooling}" * (pooling is not Pooling.mean)
            hidden = centred and metric is MEXA
            own = replace(
                metric,
                name=metric.name + ending,
                label=label,
                shown=Shown.nowhere if hidden else metric.shown,
            )
            yield own
            for name, summary in SUMMARIES[metric.name].items():
                yield replace(
                    own,
                    name=f"{metric.name}_{name}{ending}",
                    label=f"{label}, {_OVER_LAYERS[name]}",
                    has_layers=False,
                    shown=Shown.headline if metric is RETRIEVAL else Shown.nowhere,
                    summary=summary,
                    of=own.name,
                )


_OVER_LAYERS = {"best": "best layer", "max": "best layer", "mean": "mean of layers"}


def abstentions(label: str) -> list[Metric]:
    """What is measured of abstaining; `label` is the set's name."""
    names = {
        "reliable_accuracy": "right among those answered",
        "effective_reliability": "right less wrong",
        "abstain_precision": "wrong among those abstained from",
        "abstain_recall": "abstained from among those wrong",
        "abstained": "abstained from",
    }
    return [Metric(name=name, label=f"{label}, {said}", kind=Kind.whole) for name, said in names.items()]


def answers(label: str, chance: float | None) -> list[Metric]:
    """The metrics of questions with candidates; `label` is the set's name."""
    accuracy = replace(ACCURACY, label=label, chance=chance)
    return [
        accuracy,
        replace(accuracy, name="accuracy_norm", label=f"{label}, per character", shown=Shown.nowhere),
        replace(accuracy, name="accuracy_bytes", label=f"{label}, per byte", shown=Shown.nowhere),
        CALIBRATION_ERROR,
        NEAR_TIES,
    ]


def translated(metric: Metric) -> list[Metric]:
    """A metric of translations, into a language and from it."""
    return [
        replace(
            metric,
            name=f"{metric.name}_{direction}",
            label=f"{metric.label} {direction}",
            harm=f"translates {direction} {{language}} worse",
        )
        for direction in ("into", "from")
    ]


def by_benchmark(metrics: Iterable[tuple[str, Metric]]) -> dict[str, list[Metric]]:
    """(benchmark's name in rows, metric) -> the metrics of each benchmark, in their order."""
    found: dict[str, list[Metric]] = {}
    for benchmark, metric in metrics:
        found.setdefault(benchmark, []).append(metric)
    return found


def _known() -> Iterator[Metric]:
    yield from layered(RETRIEVAL, Pooling)
    yield from layered(MEXA, Pooling)
    yield BITS_PER_BYTE
    for metric in (CHRF, BLEU, REFERENCE_BITS):
        yield from translated(metric)
    yield from answers("", None)


KNOWN: Mapping[str, Metric] = {metric.name: metric for metric in _known()}
"""Ours by name, for evaluation files that do not say what their metrics are."""
