"""State retention: hidden states stay close to those of the model before training."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from xalign.data.retained_texts import RetainedTexts, retained_texts
from xalign.objectives.base import Needs, SumObjective, Work, layer_problems

if TYPE_CHECKING:
    from torch import Tensor

    from xalign.config.schema import Config as RunConfig
    from xalign.data.collate import Tokens
    from xalign.data.step import Part, StepData
    from xalign.objectives.passes import Pass


class StateRetention(SumObjective):
    """Squared distance of hidden states from those of the model before training, over the squares of those.

    REPINA with the identity (Razdaibiedina et al. 2023, "Representation projection invariance mitigates
    representation collapse", equation 2), made relative. It looks at every position, without the vocabulary.
    Runs blocks up to its layer, and those of the model before training.

    Published: the distance between the one's states and a projection of the other's, the identity or a small
    network, at the last layer. Here: the identity, at any layer.

    Take it when a vocabulary is too large for retention's head, or states of one layer are what must stay.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(RetainedTexts):
        layer: Annotated[int | None, Field(ge=1)] = None
        """The layer whose states stay; null: the last, which predicts."""

        def problems(self, config: "RunConfig") -> Iterator[tuple[str, str]]:
            yield from layer_problems(self.layer, config)

    config: Config

    @property
    def _layer(self) -> int:
        return self.setup.depth if self.config.layer is None else self.config.layer

    @property
    def needs(self) -> Needs:
        config = self.config
        return Needs(
            self._layer,
            tokens=config.batch_size * config.max_length,
            reference=True,
            own_text=config.max_length if config.own_fraction > 0 else None,
        )

    def sample(self, data: "StepData") -> "Part":
        return retained_texts(data, self.config, self.setup.languages[0])

    def work(self, part: "Part") -> Work:
        return Work(self._layer, reference_layer=self._layer)

    def positions(self, run: "Pass", part: "Part") -> "list[Tensor]":
        return [tokens.content_mask.bool() for tokens in part.texts.buckets]

    def summed(self, run: "Pass", tokens: "Tokens", chosen_BT: "Tensor") -> "Tensor":
        with run.reference() as before:
            before_SD = before.hidden(tokens, self._layer)[chosen_BT].float()
        moved_SD = run.hidden(tokens, self._layer)[chosen_BT].float() - before_SD
        return (moved_SD.square().sum(-1) / before_SD.square().sum(-1)).sum()


OBJECTIVE = StateRetention
