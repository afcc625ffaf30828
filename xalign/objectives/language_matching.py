"""Language matching: are two sentence vectors of one language?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from xalign.objectives.base import Figures, Rows, Setup, Work
from xalign.objectives.pairs import PairObjective

if TYPE_CHECKING:
    from torch import Tensor, nn

    from xalign.data.step import Part


class LanguageMatching(PairObjective):
    """Keeps the language of a sentence readable where the next word is predicted.

    A small gated network on two sentence vectors of the last layer says whether both are of one language,
    for all pairs of different sentences of the batch (AlignX, arXiv 2509.24338, which pulls translations
    together in the middle beside). It is trained with the model and left out of it afterwards. Pairs of one
    language and of two weigh alike. Runs the blocks up to its layer, by default all.

    Published: weight 0.4 beside 0.3 of InfoNCE at layer 16 and the task's loss, width 128. Its code runs
    source and target as one text, so that the target sees the source, and counts a sentence with itself.
    Here: each sentence is run alone, and with the others only. The gated layer is w'(silu(Gx) * Ux), of which
    the release has no other description here.

    Take it when an aligned model answers in the wrong language.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(PairObjective.Config):
        layer: Annotated[int, Field(ge=0)] | None = None
        """Representations after this block; null takes the last."""
        width: Annotated[int, Field(gt=0)] = 128
        """Size of the gated layer."""

        @property
        def aligned_layer(self) -> int | None:
            return None

    config: Config

    def __init__(self, config: Config, setup: Setup) -> None:
        super().__init__(config, setup)
        self.layer = setup.depth if config.layer is None else config.layer

    def build(self) -> "nn.Module":
        from torch import nn

        # Of the two vectors side by side, each has a half of the matrix.
        return nn.ModuleDict(
            {
                "first": nn.Linear(self.setup.width, 2 * self.config.width),
                "second": nn.Linear(self.setup.width, 2 * self.config.width, bias=False),
                "out": nn.Linear(self.config.width, 1),
            }
        )

    def work(self, part: "Part") -> Work:
        texts, size = 2 * part.pairs, self.config.width
        product = 2 * texts * 2 * self.setup.width * 2 * size + 2 * texts**2 * size
        return Work(self.layer, forward=product, backward=2 * product)

    def loss(self, vectors: "Sequence[Tensor]", rows: Rows) -> "tuple[Tensor, Figures]":
        import torch
        from torch.nn.functional import binary_cross_entropy_with_logits, normalize, silu

        assert isinstance(self.own, torch.nn.ModuleDict)
        both_ND = torch.cat([*vectors])
        unit_ND = normalize(both_ND, dim=-1) * both_ND.shape[1] ** 0.5
        language_N = rows.numbers["language"]
        language_N = torch.cat([torch.full_like(language_N, -1), language_N])
        gate_NNW, up_NNW = (self.own["first"](unit_ND)[:, None] + self.own["second"](unit_ND)[None]).chunk(
            2, dim=-1
        )
        logits_NN = self.own["out"](silu(gate_NNW) * up_NNW)[..., 0]
        other_NN = ~torch.eye(len(both_ND), dtype=torch.bool, device=both_ND.device)
        same_P = (language_N[:, None] == language_N)[other_NN]
        logits_P = logits_NN[other_NN]
        share = same_P.to(logits_P.dtype).mean()
        weights_P = torch.where(same_P, 0.5 / share, 0.5 / (1 - share)) / len(same_P)
        loss = binary_cross_entropy_with_logits(
            logits_P, same_P.to(logits_P.dtype), weight=weights_P, reduction="sum"
        )
        return loss, {"accuracy": float((((logits_P > 0) == same_P) * weights_P).sum())}


OBJECTIVE = LanguageMatching
