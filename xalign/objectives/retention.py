"""Retention: stay close to the model before training, where no answer is taught."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from xalign.base.registry import Short
from xalign.data.retained_texts import RetainedTexts, retained_texts
from xalign.objectives.base import Needs, SumObjective, Work

if TYPE_CHECKING:
    from torch import Tensor

    from xalign.data.collate import Tokens
    from xalign.data.step import Part, StepData
    from xalign.objectives.passes import Pass


class Retention(SumObjective):
    """KL(model before training || model) of next-token distributions at sampled positions, in nats.

    Learning without forgetting (Li & Hoiem 2016, section 3) with the model itself as teacher. It sees the
    teacher's whole distribution, so that a few hundred positions a step hold the language model in place
    while its middle layers move. Without it, alignment costs English up to 30 % bits per byte
    (experiments/recipe). Runs all blocks, and those of the model before training, and the head at these
    positions.

    Published: the old network's outputs on the new task's inputs, with a temperature of 2. Here: on running
    text, few-shot prompts and the model's own text, at temperature 1.

    Take it when the model must write as well as before: beside every objective that moves hidden states.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(RetainedTexts):
        weight: Annotated[float, Field(ge=0), Short("loss.{kind}_weight")] = 1.0
        """Its weight in the sum; 0 leaves it out."""
        tokens: Annotated[int, Field(gt=0), Short("trainer.retention_tokens")] = 64
        """Token positions a rank, sampled from these texts, whose next-token distributions are compared."""

    config: Config

    @property
    def needs(self) -> Needs:
        config = self.config
        return Needs(
            self.setup.depth,
            tokens=config.batch_size * config.max_length,
            head=True,
            reference=True,
            own_text=config.max_length if config.own_fraction > 0 else None,
        )

    def sample(self, data: "StepData") -> "Part":
        return retained_texts(data, self.config, self.setup.languages[0])

    def work(self, part: "Part") -> Work:
        content = sum(int(tokens.content_mask.sum()) for tokens in part.texts.buckets)
        depth = self.setup.depth
        return Work(depth, positions=min(self.config.tokens, content), reference_layer=depth)

    def positions(self, run: "Pass", part: "Part") -> "list[Tensor]":
        return run.sampled_positions(part.texts, self.config.tokens)

    def summed(self, run: "Pass", tokens: "Tokens", chosen_BT: "Tensor") -> "Tensor":
        depth = self.setup.depth
        with run.reference() as before:
            before_SD = before.hidden(tokens, depth)[chosen_BT]
        return run.kl(before_SD, run.hidden(tokens, depth)[chosen_BT])


OBJECTIVE = Retention
