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


AT_ONCE = 2**23
"""Numbers of the gated layer that are held at a time, for two sentences each."""


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
        from torch.utils.checkpoint import checkpoint

        assert isinstance(self.own, torch.nn.ModuleDict)
        both_ND = torch.cat([*vectors])
        unit_ND = normalize(both_ND, dim=-1) * both_ND.shape[1] ** 0.5
        language_N = rows.numbers["language"]
        language_N = torch.cat([torch.full_like(language_N, -1), language_N])
        count, out = len(both_ND), self.own["out"]
        same = (language_N[:, None] == language_N).sum() - count
        weights = [0.5 / (count * (count - 1) - same), 0.5 / same]  # of two languages, of one
        first_NW, second_NW = self.own["first"](unit_ND), self.own["second"](unit_ND)

        def of_rows(first_bW: "Tensor", second_NW: "Tensor", block: slice) -> "tuple[Tensor, Tensor]":
            gate_bNW, up_bNW = (first_bW[:, None] + second_NW[None]).chunk(2, dim=-1)
            logits_bN = out(silu(gate_bNW) * up_bNW)[..., 0]
            same_bN = language_N[block, None] == language_N
            weights_bN = torch.where(same_bN, weights[1], weights[0]).to(logits_bN.dtype)
            # Not with itself.
            weights_bN.diagonal(block.start).zero_()
            own = binary_cross_entropy_with_logits(
                logits_bN, same_bN.to(logits_bN.dtype), weight=weights_bN, reduction="sum"
            )
            return own, (((logits_bN > 0) == same_bN) * weights_bN).sum().detach()

        size = max(1, AT_ONCE // (count * first_NW.shape[1]))
        losses, right = [], []
        for start in range(0, count, size):
            block = slice(start, min(start + size, count))
            given = (first_NW[block], second_NW, block)
            # What several blocks keep would be as large as if there were one: they are run again instead.
            found = of_rows(*given) if size >= count else checkpoint(of_rows, *given, use_reentrant=False)
            losses.append(found[0])
            right.append(found[1])
        return torch.stack(losses).sum(), {"accuracy": float(torch.stack(right).sum())}


OBJECTIVE = LanguageMatching
