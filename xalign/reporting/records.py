"""What a run's folder holds, as frozen dataclasses. Parts that a run has not written are None or empty."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator

from xalign.evaluation.findings import AnalysedModel
from xalign.evaluation.metrics import Metric
from xalign.evaluation.results import Evaluation, known
from xalign.evaluation.statistics import Comparison

Floats = NDArray[np.float64]
Text = Annotated[str, BeforeValidator(str)]
"""Text, or a value that is shown as text."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Something that was chosen automatically."""

    what: Text
    value: Text
    reason: Text


@dataclass(frozen=True, kw_only=True)
class Contamination:
    """Of so many test texts, how many are training texts, and how many more share a long piece with one."""

    texts: int
    exact: int
    partial: int


@dataclass(frozen=True, kw_only=True)
class TextSource:
    """Of so many rows of the training text, where they come from; the licence where it is known."""

    name: Text
    rows: int
    licence: Text | None = None


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Where, when and how the run was made. `other` holds what has no place of its own.

    `contamination` is by benchmark and language; `layer` is the aligned one; `validation` says what was
    measured during training, by benchmark.
    """

    command: Text | None = None
    started: Text | None = None
    decisions: tuple[Decision, ...] = ()
    cleaning: Mapping[str, int] = field(default_factory=dict)
    corpus: Mapping[str, int] = field(default_factory=dict)
    text_sources: tuple[TextSource, ...] = ()
    contamination: Mapping[str, Mapping[str, Contamination]] = field(default_factory=dict)
    layer: int | None = None
    validation: Mapping[str, Sequence[Metric]] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    other: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Series:
    """One logged quantity: the steps at which it was logged, or the shares of the way from the model before
    training, and its values there."""

    steps: Floats
    values: Floats


@dataclass(frozen=True, kw_only=True)
class Representations:
    """Sentence vectors (n, D) at the aligned layer; equal `sentences` are translations of each other."""

    vectors: NDArray[np.float32]
    languages: tuple[str, ...]
    sentences: NDArray[np.int64]
    texts: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run's folder, read."""

    path: Path
    config: Mapping[str, Any]
    environment: Environment
    metrics: Mapping[str, Series]
    before: Evaluation | None
    after: Evaluation | None
    comparison: tuple[Comparison, ...]
    before_representations: Representations | None
    after_representations: Representations | None
    analyses: Mapping[str, AnalysedModel]
    """`before` and `after`, as far as analyses were asked for."""
    blends: Mapping[str, Series] = field(default_factory=dict)
    """Figures of validation text by the share of the way, where `export.blends` were measured."""

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.resolve().name

    @property
    def model(self) -> str:
        """Short name of the model that was aligned."""
        return str(self._get("model", "name") or "model")

    @property
    def loss(self) -> str:
        """Short name of the objective."""
        return str(self._get("loss", "name") or "loss")

    @property
    def pivot(self) -> str:
        """Language that every pair shares."""
        return str(self._get("languages", "pivot") or "en")

    @property
    def targets(self) -> tuple[str, ...]:
        """Languages that were trained on."""
        return tuple(str(code) for code in self._get("languages", "targets") or ())

    @property
    def unseen(self) -> tuple[str, ...]:
        """Languages that the config names as measured but not trained on."""
        return tuple(str(code) for code in self._get("languages", "unseen") or ())

    @property
    def benchmark(self) -> str:
        """Name of the set that the config measures."""
        return str(self._get("benchmark", "name") or "")

    @property
    def select(self) -> str | None:
        """The logged metric by which the step that is kept was chosen."""
        select = self._get("trainer", "select")
        return None if select is None else str(select)

    @property
    def steps(self) -> int:
        """Training steps done."""
        return int(max((series.steps[-1] for series in self.metrics.values()), default=0))

    @property
    def evaluations(self) -> dict[str, Evaluation]:
        """The evaluations that exist, in order, keyed `before` and `after`."""
        pairs = {"before": self.before, "after": self.after}
        return {moment: found for moment, found in pairs.items() if found is not None}

    @property
    def aligned_layer(self) -> int | None:
        """Layer whose representations were aligned, as the run recorded it; of one that has not yet, by its
        config: `loss.layer`, or half of the depth where that is null."""
        layer = self.environment.layer if self.environment.layer is not None else self._get("loss", "layer")
        if layer is not None:
            return int(layer)
        depth = self._get("model", "depth") or max(
            (row.layer or 0 for evaluation in self.evaluations.values() for row in evaluation.results),
            default=0,
        )
        return int(depth) // 2 if depth else None

    def metric(self, benchmark: str, name: str) -> Metric:
        """What a metric of a benchmark is, as the evaluations say; else what is known by its name."""
        every = [own.metrics.get(benchmark, ()) for own in self.evaluations.values()]
        recorded = [*every, self.environment.validation.get(benchmark, ())]
        return next(
            (own for metrics in recorded for own in metrics if own.name == name), known(benchmark, name)
        )

    @property
    def metric_order(self) -> dict[tuple[str, str], int]:
        """(benchmark, metric) -> its place in a report, of those that the evaluations say."""
        recorded = [
            (benchmark, metric.name)
            for evaluation in self.evaluations.values()
            for benchmark, metrics in evaluation.metrics.items()
            for metric in metrics
        ]
        return {name: place for place, name in enumerate(dict.fromkeys(recorded))}

    def difference(
        self, benchmark: str, metric: str, language: str, layer: int | None = None
    ) -> Comparison | None:
        """The paired comparison of this measurement, or None."""
        for row in self.comparison:
            if (row.benchmark, row.metric, row.language, row.layer) == (benchmark, metric, language, layer):
                return row
        return None

    def _get(self, group: str, key: str) -> Any:
        section = self.config.get(group)
        return section.get(key) if isinstance(section, Mapping) else None
