"""ShifCon: languages are aligned in the pivot's place, to which each is shifted and from which back."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from xalign.base.registry import Short
from xalign.config.choices import Centering
from xalign.objectives.base import Figures, Needs, Rows, Setup, Work, layer_problems
from xalign.objectives.pairs import PairObjective, numbers_of

if TYPE_CHECKING:
    from torch import Tensor, nn

    from xalign.config.schema import Config as RunConfig
    from xalign.data.collate import Tokens
    from xalign.data.step import Part, StepData
    from xalign.objectives.passes import Pass

log = logging.getLogger(__name__)

SAMPLE = 100
"""Pairs of a language by which its place and the area are found."""
DIRECTIONS = 16
"""Principal directions of a language that distances are measured in."""


class Shifcon(PairObjective):
    """Aligns languages in the pivot's place: each is shifted there in the middle of the model.

    After block `first` of an area every state of language l becomes h - v_l + v_pivot, v the mean sentence
    vectors there in the model before training; the area's blocks run on the shifted states, and InfoNCE is
    taken after its last (ShifCon, Zhang et al., arXiv 2410.19453; its text was read as others describe it).
    The area are the neighbouring layers, a share of the model, at which languages are nearest to the pivot by
    the distance of their subspaces, without the first and the last. Runs the blocks up to the area's end.

    Published: shifts in every pass of training and use, and back after the area, beside multilingual
    instructions; 30 % of the layers. Here: in the pass of this loss alone, so that the model that comes out
    is one that needs no shift; the distance of means is in units of the spread, as layers differ
    in scale.

    Take it when contrastive learning on the states themselves costs the languages what is their own.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(PairObjective.Config):
        layer: Annotated[int, Field(ge=1)] | None = None
        """The area's last layer, after which the loss is taken; null: by the distance of subspaces."""
        first: Annotated[int, Field(ge=0)] | None = None
        """The area's first layer, after which states are shifted; null: by the distance of subspaces."""
        share: Annotated[float, Field(gt=0, le=1)] = 0.3
        """Share of the blocks that the area has, where it is found."""
        tau: Annotated[float, Field(gt=0), Short("loss.tau")] = 0.05
        """Temperature of the softmax over cosine similarities."""
        symmetric: Annotated[bool, Short("loss.symmetric")] = True
        """Average both directions; false is pivot to target only."""

        def problems(self, config: "RunConfig") -> Iterator[tuple[str, str]]:
            yield from super().problems(config)
            yield from (("first", problem) for _, problem in layer_problems(self.first, config))
            if (self.first is None) != (self.layer is None):
                yield "first", "give `layer` as well, or neither"
            elif self.first is not None and self.layer is not None and self.first >= self.layer:
                yield "first", f"must be below `layer` ({self.layer})"

    config: Config
    separable = True

    def __init__(self, config: Config, setup: Setup) -> None:
        super().__init__(config, setup)
        self.first = 0 if config.first is None else config.first
        # Until the area is found the most that it can be.
        self.layer = setup.depth if config.layer is None else config.layer

    def build(self) -> "nn.Module":
        """Nothing that is trained: how far each language is from the pivot, kept with the checkpoint."""
        import torch
        from torch import nn

        own = nn.Module()
        own.register_buffer("shifts_CD", torch.zeros(len(self.setup.languages), self.setup.width))
        return own

    @property
    def needs(self) -> Needs:
        tokens = 2 * self.setup.pairs * self.setup.sentence_length
        return Needs(self.layer, tokens=tokens, pairs=True, begins_with=SAMPLE)

    def begin(self, vectors: "Mapping[str, Tensor]") -> None:
        import torch

        assert self.own is not None
        if self.config.first is None:
            self.first, self.layer = found_area(vectors, self.config.share)
        own = [vectors[code][:, :, self.first].mean(1) for code in sorted(vectors)]
        shifts = [pivot_D - language_D for pivot_D, language_D in own]
        # The pivot, the last, stays.
        self.own.get_buffer("shifts_CD").copy_(torch.stack([*shifts, torch.zeros_like(shifts[0])]))

    def sample(self, data: "StepData") -> "Part":
        pairs, numbers = data.pairs, numbers_of(data)
        rows = data.sentence_ids(pairs)
        # What a token is labelled with is its language: texts are run apart from their rows.
        languages = [len(self.setup.languages) - 1] * len(pairs) + numbers["language"]
        labels = [[language] * len(row) for language, row in zip(languages, rows, strict=True)]
        return data.part(rows, labels, sides=2, numbers=numbers, pairs=len(pairs))

    def work(self, part: "Part") -> Work:
        product, directions = 2 * part.pairs**2 * self.setup.width, 1 + self.config.symmetric
        return Work(self.layer, forward=directions * product, backward=2 * directions * product)

    def represent(self, run: "Pass", tokens: "Tokens") -> "Tensor":
        assert self.own is not None
        assert tokens.labels is not None
        shifts_BTD = self.own.get_buffer("shifts_CD")[tokens.labels.clamp(min=0)]
        hidden_BTD = run.backbone.hidden_states(tokens, self.layer, (self.first, shifts_BTD))
        return run.backbone.pooled(hidden_BTD, tokens, self.config.pooling)

    def loss(self, vectors: "Sequence[Tensor]", rows: Rows) -> "tuple[Tensor, Figures]":
        from xalign.objectives.kernels.info_nce import info_nce

        summed, hits = info_nce(
            *vectors,
            groups_N=rows.numbers["language"],
            source_keys_N=rows.numbers["source"],
            target_keys_N=rows.numbers["target"],
            tau=self.config.tau,
            symmetric=self.config.symmetric,
            centering=Centering.none,
            rows=rows.own,
        )
        return summed / rows.count, {"accuracy": float(hits) / rows.count}

    def state(self) -> "dict[str, Tensor]":
        import torch

        # Found anew elsewhere, rounding could choose another, to which the shifts kept beside do not belong.
        return {"area": torch.tensor([self.first, self.layer])}

    def load_state(self, state: "Mapping[str, Tensor]") -> None:
        self.first, self.layer = (int(layer) for layer in state["area"])


def found_area(vectors: "Mapping[str, Tensor]", share: float) -> tuple[int, int]:
    """The neighbouring layers, first and last, at which languages are nearest to the pivot."""
    from xalign.objectives.kernels.subspaces import subspace_distance

    depth = next(iter(vectors.values())).shape[2] - 1
    distances = []
    for layer in range(depth + 1):
        own = [
            subspace_distance(side[0, :, layer], side[1, :, layer], DIRECTIONS) for side in vectors.values()
        ]
        distances.append(sum(own) / len(own))
    size = max(1, round(share * depth))
    # Neither the embeddings nor what the head reads, where there are others.
    starts = range(1, depth - size) or range(depth - size + 1)
    first = min(starts, key=lambda start: sum(distances[start : start + size + 1]))
    shown = " ".join(f"{layer}: {distance:.1f}" for layer, distance in enumerate(distances))
    log.info("shifcon: distance of subspaces by layer %s; area %d to %d", shown, first, first + size)
    return first, first + size


OBJECTIVE = Shifcon
