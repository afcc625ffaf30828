"""Self-distillation: a translation is represented as the model represented the pivot's sentence."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from xalign.objectives.base import Figures, Needs, Rows, Work
from xalign.objectives.pairs import PairObjective

if TYPE_CHECKING:
    from torch import Tensor

    from xalign.data.collate import Tokens
    from xalign.data.step import Part
    from xalign.objectives.passes import Pass


class Distill(PairObjective):
    """Moves a translation to where the model before training has the pivot's sentence, which stays.

    Squared distance of both sentences' vectors from that of the pivot's sentence in the model before
    training, over its squared length, mean over pairs: a teacher that needs no second model. The two terms
    are those of multilingual knowledge distillation (Reimers & Gurevych, EMNLP 2020, equation 1), the teacher
    is that of MT-LLM (Schmidt et al., arXiv 2406.12739, self-distillation). Runs the blocks up to its layer,
    and those of the model before training.

    Published: MT-LLM puts the encoder of a translation model (NLLB 600M) before the language model, by a
    trained linear layer, and trains both that and LoRA for 10,000 steps at 2e-4 on the last layer's mean
    vectors. Here: no encoder before it, the aligned layer, and relative distances, as layers differ in scale.

    Take it when the pivot's representations must not move at all, as what reads them is in use.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(PairObjective.Config):
        keep: Annotated[float, Field(ge=0)] = 1.0
        """Weight of the pivot's own distance beside the translation's."""

    config: Config

    @property
    def needs(self) -> Needs:
        tokens = 2 * self.setup.pairs * self.setup.sentence_length
        return Needs(self.layer, tokens=tokens, reference=True, pairs=True)

    def work(self, part: "Part") -> Work:
        return Work(self.layer, reference_layer=self.layer)

    def represent(self, run: "Pass", tokens: "Tokens") -> "Tensor":
        import torch

        with run.reference() as before:
            before_ND = before.represent(tokens, self.layer, self.config.pooling)
        return torch.cat([super().represent(run, tokens), before_ND], dim=1)

    def loss(self, vectors: "Sequence[Tensor]", rows: Rows) -> "tuple[Tensor, Figures]":
        (pivot_ND, taught_ND), (own_ND, _) = (side.split(self.setup.width, dim=1) for side in vectors)
        taught_ND = taught_ND.detach()
        lengths_N = taught_ND.square().sum(1)
        moved = ((own_ND - taught_ND).square().sum(1) / lengths_N).mean()
        kept = ((pivot_ND - taught_ND).square().sum(1) / lengths_N).mean()
        return moved + self.config.keep * kept, {"distance": moved.detach(), "pivot": kept.detach()}


OBJECTIVE = Distill
