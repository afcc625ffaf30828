"""What objectives on translation pairs have in common."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from xalign.base.registry import Short
from xalign.config.choices import Centering, Pooling
from xalign.config.parts import ObjectiveConfig
from xalign.objectives.base import BatchObjective, Needs, Setup, layer_problems

if TYPE_CHECKING:
    from torch import Tensor

    from xalign.config.schema import Config as RunConfig
    from xalign.data.collate import Tokens
    from xalign.data.step import Part, StepData
    from xalign.objectives.passes import Pass


class PairsAtLayer(BatchObjective):
    """A loss of translation pairs as they are after one block. Runs the blocks up to its layer alone.

    Its parts have two sides, the pivot's sentences and their translations, and of each pair the numbers
    `language` (of the translation's), `source` and `target` (equal for equal texts).
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(ObjectiveConfig):
        layer: Annotated[int, Field(ge=0)] | None = None
        """Representations after this block (0: embeddings); null takes `loss.layer`."""

        @property
        def aligned_layer(self) -> int | None:
            return self.layer

        def problems(self, config: "RunConfig") -> Iterator[tuple[str, str]]:
            yield from layer_problems(self.layer, config)

    config: Config

    def __init__(self, config: Config, setup: Setup) -> None:
        super().__init__(config, setup)
        self.layer = setup.layer if config.layer is None else config.layer

    @property
    def needs(self) -> Needs:
        return Needs(self.layer, tokens=2 * self.setup.pairs * self.setup.sentence_length, pairs=True)

    def sample(self, data: "StepData") -> "Part":
        pairs = data.pairs
        return data.part(data.sentence_ids(pairs), sides=2, numbers=numbers_of(data), pairs=len(pairs))


class PairObjective(PairsAtLayer):
    """A loss of the sentence vectors of translation pairs."""

    @dataclass(frozen=True, kw_only=True)
    class Config(PairsAtLayer.Config):
        pooling: Annotated[Pooling, Short("loss.pooling")] = Pooling.mean
        """How hidden states become one vector."""

    config: Config

    def represent(self, run: "Pass", tokens: "Tokens") -> "Tensor":
        return run.represent(tokens, self.layer, self.config.pooling)


FEWEST = 4
"""Pairs a language below which centring means nothing: of two pairs, the centred vectors are each other's
opposites, whatever the model does."""


def numbers_of(data: "StepData") -> dict[str, list[int]]:
    """Of each of this rank's pairs its target language, and keys that are equal for equal texts."""
    pairs = data.pairs
    return {
        "language": data.language_numbers(pairs),
        "source": [pair.source_key for pair in pairs],
        "target": [pair.target_key for pair in pairs],
    }


def centring_problems(centering: Centering, config: "RunConfig") -> Iterator[tuple[str, str]]:
    """What is wrong with an option `centering`, for `Config.problems`."""
    if centering is Centering.language:
        yield from (("centering", problem) for problem in enough_pairs(config, FEWEST))


def enough_pairs(config: "RunConfig", least: int) -> Iterator[str]:
    """What is wrong where a batch of all ranks has fewer pairs of a language."""
    trainer = config.trainer
    share = trainer.batch_size // trainer.languages_per_batch * config.ranks
    if share < least:
        yield (
            f"needs at least {least} pairs of each language in the batch of all ranks; "
            f"trainer.batch_size={trainer.batch_size} and trainer.languages_per_batch="
            f"{trainer.languages_per_batch} give {share}"
        )
