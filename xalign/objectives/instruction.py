"""Cross-lingual instruction following (CIF): cross-entropy of answers in one language to instructions in
another."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from xalign.base.registry import Short
from xalign.config.parts import ObjectiveConfig
from xalign.objectives.answered import Answered
from xalign.objectives.base import Needs

if TYPE_CHECKING:
    from xalign.data.step import Part, StepData


class Instruction(Answered):
    """Teaches the model to answer in language B an instruction given in language A.

    Next-token cross-entropy on the tokens of the answer and the end of sequence, nothing else (Li et al.,
    NAACL 2024, equation 3); where samples come from is `instructions`. Runs all blocks, and the head at these
    tokens.

    Published: weight 1.5 beside the contrastive part's 1. Here: 0.5 in `loss=afp`, where each gradient is
    clipped by itself, as its own is tens of times larger and would drown the other.

    Take it when answers are to be in the language asked for, and beside every alignment: it keeps few-shot
    use up where samples have the form of use (experiments/harmless).
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(ObjectiveConfig):
        weight: Annotated[float, Field(ge=0), Short("loss.{kind}_weight")] = 1.5
        """w_i, its weight in the sum; 0 leaves it out."""
        batch_size: Annotated[int, Field(gt=0), Short("trainer.instruction_batch_size")] = 12
        """Instruction samples a step and rank."""
        max_length: Annotated[int, Field(ge=8), Short("trainer.instruction_max_length")] = 256
        """Tokens kept of a sample; what asks for the answer, and the end of sequence, always stay."""

    config: Config

    @property
    def needs(self) -> Needs:
        tokens = self.config.batch_size * self.config.max_length
        return Needs(self.setup.depth, tokens, head=True, instructions=True)

    def sample(self, data: "StepData") -> "Part":
        samples = data.instructions(self.config.batch_size)
        return data.part(*data.instruction_rows(samples, self.config.max_length))


OBJECTIVE = Instruction
