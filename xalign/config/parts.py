"""Options that every part of a kind has. A part's own options derive from these, beside the part.

The schema holds them without knowing any part by name.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

from pydantic import ConfigDict, Field

from xalign.config.choices import Pooling

if TYPE_CHECKING:
    from xalign.config.schema import Config

STRICT = ConfigDict(extra="forbid")

Positive = Annotated[int, Field(gt=0)]
Natural = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0)]


class ScheduleKind(StrEnum):
    """How a weight changes over the steps."""

    constant = "constant"
    linear = "linear"
    alternate = "alternate"


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """The factor of an objective's weight at each step."""

    __pydantic_config__ = STRICT

    kind: ScheduleKind = ScheduleKind.constant
    """`constant`: 1; `linear`: from `start` to `end`; `alternate`: 1 in this objective's turns, 0 in the
    others'."""
    start: Annotated[float, Field(ge=0)] = 0.0
    """linear: the factor at the first step."""
    end: Annotated[float, Field(ge=0)] = 1.0
    """linear: the factor at the end of `over`."""
    over: Annotated[float, Field(gt=0, le=1)] = 1.0
    """linear: share of the steps that this takes; afterwards the factor stays."""
    every: Annotated[int, Field(gt=0)] = 1
    """alternate: steps of a turn."""
    turns: Annotated[int, Field(ge=2)] = 2
    """alternate: how many take turns."""
    turn: Annotated[int, Field(ge=0)] = 0
    """alternate: which of them is this objective's, from 0."""

    def factor(self, step: int, steps: int) -> float:
        """The factor at step `step` (from 0) of `steps`."""
        match self.kind:
            case ScheduleKind.constant:
                return 1.0
            case ScheduleKind.linear:
                last = max(1.0, self.over * steps - 1)
                return self.start + (self.end - self.start) * min(1.0, step / last)
            case ScheduleKind.alternate:
                return float(step // self.every % self.turns == self.turn)


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """Options that every objective has."""

    __pydantic_config__ = STRICT

    kind: str
    """Which objective: the name of its file, or of an entry point of the group `xalign.objectives`."""
    weight: Annotated[float, Field(ge=0)] = 1.0
    """Its weight in the sum; 0 leaves it out."""
    schedule: ScheduleConfig = ScheduleConfig()
    """How the weight changes over the steps."""

    @property
    def aligned_layer(self) -> int | None:
        """The layer whose representations it aligns, where it is given a layer of its own."""
        return None

    @property
    def budget(self) -> float | None:
        """The loss that its weight follows, where it follows one (`objectives.multiplier`)."""
        return None

    def problems(self, config: "Config") -> Iterator[tuple[str, str]]:
        """What is wrong with these options in a whole configuration: (option, what about its value)."""
        yield from ()

    def weight_at(self, step: int, steps: int) -> float:
        """The weight at step `step` (from 0) of `steps`."""
        return self.weight * self.schedule.factor(step, steps)


class Samples(StrEnum):
    """Which samples a transform is applied to."""

    all = "all"
    pairs = "pairs"
    instructions = "instructions"


@dataclass(frozen=True, kw_only=True)
class TransformConfig:
    """Options that every transform has."""

    __pydantic_config__ = STRICT

    kind: str
    """Which transform: the name of its file, or of an entry point of the group `xalign.transforms`."""
    share: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of the samples that it is applied to, drawn for each; the others stay as they are."""
    samples: Samples = Samples.all
    """Which of those that it can change: translation `pairs`, `instructions`, or `all`."""

    def problems(self, config: "Config") -> Iterator[tuple[str, str]]:
        """What is wrong with these options in a whole configuration: (option, what about its value)."""
        yield from ()


class AdaptedLayers(StrEnum):
    """Which blocks are trained, by where they are to the aligned layer."""

    all = "all"
    below = "below"
    above = "above"


@dataclass(frozen=True, kw_only=True)
class AdapterConfig:
    """Options that every adapter has."""

    __pydantic_config__ = STRICT

    method: str
    """Which parameters are trained: the name of a file in `xalign/models/adapters`, or of an entry point of
    the group `xalign.adapters`."""
    layers: AdaptedLayers = AdaptedLayers.all
    """Which blocks are trained: `all`; `below`, those that the aligned layer is made by (with the embeddings,
    where these are trained), so that what reads it stays as it was; `above`, those that read it."""

    @property
    def goes_on(self) -> bool:
        """Whether the model that training begins with is one with an adapter, which then goes on."""
        return False

    @property
    def changes_weights(self) -> bool:
        """Whether adapters begin with a part of the frozen weights, taken out of these."""
        return False

    def problems(self, config: "Config") -> Iterator[tuple[str, str]]:
        """What is wrong with these options in a whole configuration: (option, what about its value)."""
        yield from ()


@dataclass(frozen=True, kw_only=True)
class TaskConfig:
    """Options that every task has."""

    __pydantic_config__ = STRICT


@dataclass(frozen=True, kw_only=True)
class AnalysisConfig:
    """Options that every analysis has: which vectors it looks at."""

    __pydantic_config__ = STRICT

    pooling: Pooling = Pooling.mean
    """How hidden states become vectors."""
    max_length: Annotated[int, Field(ge=4)] = 64
    """Tokens kept of a sentence. Vectors are shared with tasks that keep as many."""
    sentences: Annotated[int, Field(ge=4)] = 100
    """Most pairs of a language."""
    layers: list[Annotated[int, Field(ge=0)]] = field(default_factory=list)
    """Layers looked at (0: embeddings); empty: all."""
    languages: list[str] = field(default_factory=list)
    """Languages looked at beside the pivot; empty: all of the text's."""
