"""What a measurement is: a task cut into parts, each of which is cached by itself."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from xalign.choices import Pooling
from xalign.config import BenchmarkConfig
from xalign.data.parallel import ParallelCorpus
from xalign.evaluation.journal import Journal
from xalign.evaluation.representations import represent
from xalign.evaluation.results import Record, Result
from xalign.models.backbone import Backbone
from xalign.progress import Advance


@dataclass(frozen=True)
class Setting:
    """What a task is asked to measure.

    `languages` (canonical, without the pivot) are those of the parallel text; `demonstrations` shares no
    sentence with `corpus`. Both are None where no task of the benchmark needs parallel text.
    """

    benchmark: BenchmarkConfig
    corpus: ParallelCorpus | None
    demonstrations: ParallelCorpus | None
    pivot: str
    languages: Sequence[str]
    aligned_layer: int
    seed: int


@dataclass(frozen=True)
class Measured:
    """Rows, and `<benchmark>.<task>` -> the records of the items behind them."""

    results: list[Result]
    items: dict[str, list[Record]]


KEPT_VECTORS = 2**31
"""Bytes of sentence vectors that a session keeps."""


@dataclass
class Session:
    """A model being measured. Vectors are kept: retrieval, MEXA and the picture share them."""

    backbone: Backbone
    benchmark: BenchmarkConfig
    journal: Journal = field(default_factory=Journal)
    """Of the part that is being measured."""
    _vectors: dict[tuple[Pooling, str], Tensor] = field(default_factory=dict)

    def represent(
        self, texts: Sequence[str], pooling: Pooling, advance: Advance = lambda count: None
    ) -> Tensor:
        """Vectors (N, L + 1, D) of texts; `advance` counts those that are run for the first time."""
        missing = [text for text in dict.fromkeys(texts) if (pooling, text) not in self._vectors]
        found = {text: self._vectors[pooling, text] for text in texts if (pooling, text) in self._vectors}
        if missing:
            # One pass serves every pooling that the benchmark wants.
            poolings = list(dict.fromkeys([pooling, *self.benchmark.poolings]))
            vectors = represent(
                self.backbone,
                missing,
                *poolings,
                max_length=self.benchmark.max_length,
                batch_tokens=self.benchmark.batch_tokens,
                advance=advance,
            )
            vectors = vectors.reshape(len(poolings), len(missing), *vectors.shape[-2:])
            for own, of_texts in zip(poolings, vectors, strict=True):
                for text, vector in zip(missing, of_texts, strict=True):
                    self._vectors[own, text] = vector.clone()
            found |= {text: self._vectors[pooling, text] for text in missing}
            room = KEPT_VECTORS // vectors[0, 0].nbytes
            for oldest in list(self._vectors)[: max(0, len(self._vectors) - room)]:
                del self._vectors[oldest]
        return torch.stack([found[text] for text in texts])


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
    measure: Callable[[Session, Advance], Measured]
    texts: Sequence[str] = ()
    """What the language's items are made of: none of it may have been trained on."""
    check: Callable[[Backbone], None] = lambda backbone: None
    """Raises DataError where the model's context is too short for an item."""


@dataclass(frozen=True)
class Task:
    """A measurement. `version` is raised whenever its figures change for the same model and data.

    `parts` raises DataError where data is missing or wrong.
    """

    version: str
    parallel_text: bool
    """Whether it is measured on parallel text (`Setting.corpus`) or reads a set of its own."""
    parts: Callable[[Setting], list[Part]]
