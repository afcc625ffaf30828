"""Lens: languages come together where they agree, and stay apart where they differ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from xalign.objectives.base import Figures, Needs, Rows, Setup, Work
from xalign.objectives.pairs import PairObjective

if TYPE_CHECKING:
    from torch import Tensor, nn

    from xalign.data.collate import Tokens
    from xalign.data.step import Part
    from xalign.objectives.passes import Pass

SAMPLE = 100
"""Pairs of a language that its mean vector is taken over."""


class Lens(PairObjective):
    """Pulls languages together in the direction that they share, and apart in the subspace that tells them
    apart.

    Both are found once from the languages' mean vectors in the model before training. On the vectors h of the
    last layer: the squared difference of a pair in the shared direction (pull); that of a translation's part
    in the other subspace from what it was, moved on by `step` times the difference of its language's mean
    from the pivot's (push); that of the mean pivot vector from what it was (keep), each divided by D (Lens,
    arXiv 2410.04407, equations 4 to 6, and its release). Runs all blocks, and those of the model before
    training.

    Published: the last token, the upper layers trained, 200 prompts, rate 1e-5, all weights 1. Here: sentence
    vectors by `pooling`.

    Take it when few sentences are at hand and the language of answers must not suffer.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(PairObjective.Config):
        layer: Annotated[int, Field(ge=0)] | None = None
        """Representations after this block; null takes the last."""
        pull: Annotated[float, Field(ge=0)] = 1.0
        """Weight of the difference in the shared direction."""
        push: Annotated[float, Field(ge=0)] = 1.0
        """Weight of the difference from where a language is moved to."""
        keep: Annotated[float, Field(ge=0)] = 1.0
        """Weight of the pivot's movement."""
        step: Annotated[float, Field(ge=0)] = 1.0
        """How far a language is moved from the pivot, in multiples of their distance."""

        @property
        def aligned_layer(self) -> int | None:
            return None

    config: Config

    def __init__(self, config: Config, setup: Setup) -> None:
        super().__init__(config, setup)
        self.layer = setup.depth if config.layer is None else config.layer

    def build(self) -> "nn.Module":
        """Nothing that is trained: the directions, kept with the checkpoint."""
        import torch
        from torch import nn

        own, count = nn.Module(), len(self.setup.languages)
        own.register_buffer("specific_DR", torch.zeros(self.setup.width, count - 1))
        own.register_buffer("shared_D", torch.zeros(self.setup.width))
        own.register_buffer("steps_CD", torch.zeros(count - 1, self.setup.width))
        return own

    @property
    def needs(self) -> Needs:
        tokens = 2 * self.setup.pairs * self.setup.sentence_length
        return Needs(self.layer, tokens=tokens, reference=True, pairs=True, begins_with=SAMPLE)

    def begin(self, vectors: "Mapping[str, Tensor]") -> None:
        import torch

        from xalign.objectives.kernels.subspaces import language_subspaces

        assert self.own is not None
        targets = sorted(vectors)
        means = [vectors[code][1, :, self.layer].mean(0) for code in targets]
        pivot_D = torch.cat([vectors[code][0, :, self.layer] for code in targets]).mean(0)
        specific_DR, shared_D = language_subspaces(torch.stack([pivot_D, *means], dim=1))
        steps = [specific_DR @ (specific_DR.T @ (mean_D - pivot_D).double()) for mean_D in means]
        for name, value in (
            ("specific_DR", specific_DR),
            ("shared_D", shared_D),
            ("steps_CD", torch.stack(steps)),
        ):
            buffer = self.own.get_buffer(name)
            buffer.copy_(value)

    def work(self, part: "Part") -> Work:
        # A pair's shared part, and the specific one of its translation, there and back, now and before.
        width, rank, pairs = self.setup.width, len(self.setup.languages) - 1, part.pairs
        forward = 2 * 2 * pairs * width + 2 * 2 * pairs * width * rank
        return Work(self.layer, reference_layer=self.layer, forward=forward, backward=forward)

    def represent(self, run: "Pass", tokens: "Tokens") -> "Tensor":
        import torch

        with run.reference() as before:
            before_ND = before.represent(tokens, self.layer, self.config.pooling)
        return torch.cat([super().represent(run, tokens), before_ND], dim=1)

    def loss(self, vectors: "Sequence[Tensor]", rows: Rows) -> "tuple[Tensor, Figures]":
        assert self.own is not None
        config, width = self.config, self.setup.width
        (pivot_ND, pivot_before_ND), (own_ND, own_before_ND) = (side.split(width, dim=1) for side in vectors)
        shared_D, specific_DR = self.own.get_buffer("shared_D"), self.own.get_buffer("specific_DR")
        pull = ((own_ND - pivot_ND) @ shared_D).square().mean() / width
        moved_ND = (
            own_ND
            - own_before_ND.detach()
            - config.step * self.own.get_buffer("steps_CD")[rows.numbers["language"]]
        )
        # The steps lie in the subspace, whose basis is orthonormal: lengths inside are those of coordinates.
        push = (moved_ND @ specific_DR).square().sum(1).mean() / width
        keep = (pivot_ND.mean(0) - pivot_before_ND.mean(0).detach()).square().mean()
        loss = config.pull * pull + config.push * push + config.keep * keep
        return loss, {"pull": pull.detach(), "push": push.detach(), "keep": keep.detach()}


OBJECTIVE = Lens
