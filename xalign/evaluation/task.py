"""What a measurement is: a task cut into parts, each of which is cached by itself.

Importing this module, and those of tasks, is cheap: options and names of figures are checked before torch is
imported. What a task computes with is imported where it is used.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar
from zlib import crc32

from xalign.config.choices import Pooling
from xalign.config.parts import TaskConfig
from xalign.evaluation.metrics import Metric

if TYPE_CHECKING:
    import numpy as np

    from xalign.base.progress import Advance
    from xalign.config.schema import BenchmarkConfig
    from xalign.data.parallel import ParallelCorpus
    from xalign.evaluation.engine.session import Session
    from xalign.evaluation.results import Record, Result
    from xalign.models.backbone import Backbone


@dataclass(frozen=True)
class Setting:
    """What tasks are asked to measure.

    `languages` (canonical, without the pivot) are those of the parallel text; `demonstrations` shares no
    sentence with `corpus`. Both are None where no task of the benchmark needs parallel text.
    """

    benchmark: "BenchmarkConfig"
    corpus: "ParallelCorpus | None"
    demonstrations: "ParallelCorpus | None"
    pivot: str
    languages: Sequence[str]
    aligned_layer: int
    seed: int

    def rng(self, language: str) -> "np.random.Generator":
        """Random numbers of a language: whatever is drawn follows from the seed and the language alone."""
        import numpy as np

        return np.random.default_rng([self.seed, crc32(language.encode())])


@dataclass(frozen=True)
class Measured:
    """Rows, and `<benchmark>.<task>` -> the records of the items behind them."""

    results: "list[Result]"
    items: "dict[str, list[Record]]"


@dataclass(frozen=True)
class Part:
    """One language of a task. `key` names all that its figures depend on besides the model and precision.

    Making a part reads and checks its data, so that mistakes show before anything is run; `measure`
    counts what it has done by `advance`, `size` in all.
    """

    task: str
    language: str
    key: Mapping[str, object]
    size: int
    measure: "Callable[[Session, Advance], Measured]"
    texts: Sequence[str] = ()
    """What the language's items are made of: none of it may have been trained on."""
    shown: Sequence[str] = ()
    """What the demonstrations before them are made of."""
    check: "Callable[[Backbone], None]" = lambda backbone: None
    """Raises DataError where the model's context is too short for an item."""


@dataclass(frozen=True)
class SentenceVectors:
    """The vectors of sentences that a task looks at."""

    poolings: Sequence[Pooling]
    max_length: int
    """Tokens kept of a sentence."""


class Task:
    """A measurement, with its options.

    A subclass has a nested frozen dataclass `Config`, derived from `TaskConfig`: its options. One option can
    also be given by a shorter key, `benchmark.<option>`, which sets it for every task that has it (`Short`).
    """

    Config: ClassVar[type[TaskConfig]] = TaskConfig
    label: ClassVar[str] = ""
    """What a report calls it, where that is not the benchmark's name."""
    version: ClassVar[str] = "1"
    """Raised whenever its figures change for the same model and data."""
    parallel_text: ClassVar[bool] = False
    """Whether it is measured on parallel text (`Setting.corpus`) or reads a set of its own."""

    def __init__(self, name: str, config: Any = None) -> None:
        self.name = name
        self.config = self.Config() if config is None else config

    @property
    def sentence_vectors(self) -> SentenceVectors | None:
        """What vectors it looks at; None where it looks at none. The report draws them."""
        return None

    def reported_as(self, benchmark: "BenchmarkConfig") -> str:
        """The benchmark's name in its rows."""
        return benchmark.name

    def metrics(self) -> Sequence[Metric]:
        """What it gives in each language, in the order of the report."""
        raise NotImplementedError

    def figures(self, benchmark: "BenchmarkConfig") -> list[tuple[str, Metric]]:
        """(benchmark's name in its rows, metric) of everything that it will give."""
        return [(self.reported_as(benchmark), metric) for metric in self.metrics()]

    def languages(self) -> Collection[str] | None:
        """The languages that its set is in; None where those are the text's."""
        return None

    def measured(
        self,
        session: "Session",
        metric: str,
        language: str,
        values: Sequence[float],
        shots: int | None = None,
        more: Sequence[Mapping[str, object]] = (),
    ) -> Measured:
        """The mean of one value an item, and the items' records, each with its part of `more`."""
        import numpy as np

        from xalign.evaluation.results import Result, standard_error

        row = Result(
            benchmark=session.name,
            language=language,
            metric=metric,
            value=float(np.mean(values)),
            stderr=standard_error(values),
            n=len(values),
            shots=shots,
            version=self.version,
        )
        records: list[Record] = [
            {"language": language, "index": index, "metrics": {metric: float(value)}}
            | (dict(more[index]) if more else {})
            for index, value in enumerate(values)
        ]
        return Measured([row], {f"{session.name}.{self.name}": records})

    def repositories(self, benchmark: "BenchmarkConfig") -> Collection[str]:
        """Datasets of the hub that it is read from."""
        return ()

    def parts(self, setting: Setting) -> list[Part]:
        """What is to be measured, a language each.

        Raises:
            DataError: data is missing or wrong.
        """
        raise NotImplementedError
