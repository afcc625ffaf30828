"""What an objective is: the contract between a loss and the framework that trains with it.

An objective says what it samples of the data, what it runs through the model, and its loss. The framework
alone knows micro-batches, cached representations, ranks, shards, counts over all ranks and the model before
training, so that an objective that keeps to this contract gives the same loss and gradients however a step is
carried out.

There are two kinds. A `SumObjective` is a sum over positions that are independent of each other
(cross-entropy, KL). A `BatchObjective` couples the texts of the whole batch through a vector each (InfoNCE,
CKA).

Importing this module, and the modules of objectives, is cheap: the configuration is checked before torch is
imported. What an objective computes with is imported where it is used.

Shapes: B rows, T tokens, S positions, N texts of the global batch, D hidden size.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from xalign.config.parts import ObjectiveConfig
from xalign.objectives.multiplier import Multiplier

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from xalign.config.schema import Config as RunConfig
    from xalign.data.collate import Tokens
    from xalign.data.step import Part, StepData
    from xalign.objectives.passes import Pass


@dataclass(frozen=True)
class Setup:
    """What an objective may know of the run before it begins: of the model, its languages, its aligned
    layer."""

    depth: int
    """Blocks of the model, L."""
    width: int
    """Size of a hidden state, D."""
    vocabulary: int
    layer: int
    """The run's aligned layer."""
    languages: Sequence[str]
    """The pivot, then the targets."""
    seed: int
    pairs: int = 0
    """Translation pairs that a rank draws in a step (`trainer.batch_size`)."""
    sentence_length: int = 0
    """Most tokens of a sentence (`trainer.max_length`)."""


@dataclass(frozen=True)
class Needs:
    """What an objective runs and samples, known before any batch: memory, micro-batches and preparation
    follow."""

    layer: int
    """The deepest block that it runs."""
    tokens: int
    """Most tokens that it runs in a step on one rank, without padding."""
    head: bool = False
    """Whether it looks at the vocabulary: logits, and a gradient of the head where that is trained."""
    reference: bool = False
    """Whether it runs the model before training as well."""
    pairs: bool = False
    """Whether it runs the step's translation pairs; tokens of those that no transform changes come from the
    cache."""
    instructions: bool = False
    """Whether it samples instructions."""
    own_text: int | None = None
    """Tokens of each text that the model is to write before training, where it samples such texts."""
    begins_with: int = 0
    """Translation pairs of each language whose sentence vectors `begin` is given; 0: none."""


@dataclass(frozen=True)
class Work:
    """What a part takes, for counting operations: a pass of its texts through blocks [:layer], and what
    follows."""

    layer: int
    positions: int = 0
    """Positions at which the head is applied."""
    reference_layer: int | None = None
    """Blocks that the model before training runs on the same texts, forward only; None: not run."""
    beside_layer: int | None = None
    """Blocks that the model before training runs on the texts beside, with the head at as many positions as
    here; None: not run."""
    forward: int = 0
    """Further operations of the forward pass."""
    backward: int = 0
    """Further operations of the backward pass."""


Figures = Mapping[str, "float | Tensor"]
"""Further numbers for the log, by name: shares, which are summed over ranks."""


class Objective:
    """A loss with its options. Subclass `SumObjective` or `BatchObjective`, one in a file.

    A subclass has a nested frozen dataclass `Config`, derived from `ObjectiveConfig`, whose fields are its
    options: the string under each is its documentation.
    """

    Config: ClassVar[type[ObjectiveConfig]] = ObjectiveConfig
    samples_pairs: ClassVar[bool] = True
    """Whether it samples translation pairs (`StepData.shares`), of which there must be enough."""
    config: ObjectiveConfig

    def __init__(self, config: ObjectiveConfig, setup: Setup) -> None:
        self.config = config
        self.setup = setup
        self.own: nn.Module | None = self.build()
        self.multiplier = None if config.budget is None else Multiplier(config.budget)
        """Where its weight follows its loss; the framework shows it each step's."""

    def build(self) -> "nn.Module | None":
        """Parameters and buffers of its own, as a module: trained with the model, saved in checkpoints,
        written beside the exported model. They are whole on every rank, and are drawn from the run's seed."""
        return None

    def begin(self, vectors: "Mapping[str, Tensor]") -> None:
        """Take from the model before training whatever the loss is defined by: called once, on every rank,
        also where a run is resumed.

        `vectors`, by language, are those of translation pairs of the training text at every layer, mean
        pooled: (2, n, L + 1, D), the pivot's sentences and their translations, float32, on the CPU.
        """

    @property
    def needs(self) -> Needs:
        """What it runs and samples."""
        raise NotImplementedError

    def sample(self, data: "StepData") -> "Part":
        """Its part of a step on this rank: a pure function of what `data` offers. Called beside training, in
        a thread of its own: NumPy only, no collective operation."""
        raise NotImplementedError

    def work(self, part: "Part") -> Work:
        """What the part takes; tokens are counted without padding by the framework."""
        raise NotImplementedError

    def state(self) -> "dict[str, Tensor]":
        """What a checkpoint keeps beside the parameters of `own`: equal on all ranks."""
        return {}

    def load_state(self, state: "Mapping[str, Tensor]") -> None:
        """Take up what `state` gave, on the CPU."""


def layer_problems(layer: int | None, config: "RunConfig") -> Iterator[tuple[str, str]]:
    """What is wrong with an option `layer`, where the model's depth is known: for `Config.problems`."""
    depth = config.model.depth
    if depth is not None and layer is not None and layer > depth:
        yield "layer", f"{config.model.name} has layers 0 to {depth}"


class SumObjective(Objective):
    """A mean over positions that do not depend on each other, whichever rank and micro-batch they are in."""

    def positions(self, run: "Pass", part: "Part") -> "list[Tensor]":
        """The positions of each bucket of the part (B, T, bool) over which the loss is a mean.

        Called once a step, on all ranks: collective operations are allowed.
        """
        raise NotImplementedError

    def summed(self, run: "Pass", tokens: "Tokens", chosen_BT: "Tensor") -> "Tensor":
        """The loss summed over the chosen positions of one bucket (scalar, with gradient); of none, 0 with a
        gradient of 0. The framework divides by the number of positions on all ranks."""
        raise NotImplementedError


class BatchObjective(Objective):
    """A loss of all texts' vectors together."""

    separable: ClassVar[bool] = False
    """Whether `loss` is a sum over rows and gives that of `rows.own` alone; else it gives the whole, on every
    rank."""

    def represent(self, run: "Pass", tokens: "Tokens") -> "Tensor":
        """A vector for each text of a bucket (n, D), float32, with gradient. Called once or twice for
        each."""
        raise NotImplementedError

    def loss(self, vectors: "Sequence[Tensor]", rows: "Rows") -> "tuple[Tensor, Figures]":
        """The loss of the global batch (scalar), or this rank's share of it (`separable`), and figures for
        the log.

        `vectors` are those of all ranks, (N, D) for each side of the part: of translation pairs the sources,
        then the targets. Called once a step, on all ranks.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Rows:
    """What belongs to the rows of a global batch."""

    count: int
    """Rows of the global batch, N: texts of a side on all ranks."""
    own: slice
    """This rank's rows."""
    numbers: "Mapping[str, Tensor]"
    """What the part says of its rows, of all ranks: (N,)."""

    def own_numbers(self, device: "torch.device") -> "Tensor":
        """The numbers of this rank's rows, which are those of their positives among all (n,)."""
        import torch

        return torch.arange(self.own.start, self.own.stop, device=device)
