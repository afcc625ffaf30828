"""Tasks that match sentences with their translations by their vectors, at every layer."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from xalign.base.registry import Short
from xalign.config.choices import Pooling
from xalign.config.parts import TaskConfig
from xalign.evaluation.metrics import Metric, layered
from xalign.evaluation.task import Part, SentenceVectors, Setting, Task

if TYPE_CHECKING:
    from torch import Tensor


class SentenceTask(Task):
    """A metric of the similarities of sentences with their translations."""

    @dataclass(frozen=True, kw_only=True)
    class Config(TaskConfig):
        poolings: Annotated[list[Pooling], Field(min_length=1), Short("poolings")] = field(
            default_factory=lambda: [Pooling.mean]
        )
        """How hidden states become vectors."""
        max_length: Annotated[int, Field(ge=4), Short("max_length")] = 64
        """Tokens kept of a sentence when it is represented."""

    config: Config
    parallel_text = True
    metric: ClassVar[Metric]

    def blocked(self, similarity_NN: "Tensor") -> "dict[str, Tensor]":
        """One or more ways of matching by name, (N, N) booleans: whether sentence j keeps sentence i from its
        translation. Where none does it is a hit; an item's value is the mean of its hits."""
        raise NotImplementedError

    @property
    def sentence_vectors(self) -> SentenceVectors:
        return SentenceVectors(self.config.poolings, self.config.max_length)

    def metrics(self) -> Sequence[Metric]:
        return list(layered(self.metric, self.config.poolings))

    def parts(self, setting: Setting) -> list[Part]:
        from xalign.evaluation.sets.matching import match_parts

        return match_parts(self, setting)
