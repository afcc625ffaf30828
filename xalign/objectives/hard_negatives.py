"""InfoNCE whose negatives weigh as much as they are hard, or are corrected for false ones."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from xalign.base.registry import Short
from xalign.config.choices import Centering
from xalign.objectives.base import Figures, Rows, Work
from xalign.objectives.pairs import PairObjective, centring_problems

if TYPE_CHECKING:
    from torch import Tensor

    from xalign.config.schema import Config as RunConfig
    from xalign.data.step import Part


class HardNegatives(PairObjective):
    """Tells a translation apart from the sentences that are most like it.

    InfoNCE both ways whose negatives weigh exp(hardness s), normalised over a row (Robinson et al., ICLR
    2021, equation 4), less what is expected of false negatives among them (Chuang et al., NeurIPS 2020,
    equation 8), and, if so chosen, without the positive in the denominator (Yeh et al., ECCV 2022, equation
    5). Negatives that are too much like the translation can be left out as false ones (Moreira et al., arXiv
    2407.15831, section 4.2). With hardness 0 and none of the others it is `contrastive` without a queue. Runs
    the blocks up to its layer alone.

    Published: hardness 1, positive share 0.1 and tau 0.5 for pictures. Here: tau 0.05 as elsewhere, and
    weights that get no gradient.

    Take it when retrieval is high already, and what is left are sentences that look alike.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(PairObjective.Config):
        tau: Annotated[float, Field(gt=0), Short("loss.tau")] = 0.05
        """Temperature of the softmax over cosine similarities."""
        hardness: Annotated[float, Field(ge=0)] = 5.0
        """How much more a similar negative weighs; 0: all alike."""
        positive_share: Annotated[float, Field(ge=0, lt=1)] = 0.0
        """How likely a negative is a translation after all; 0: never."""
        false_margin: Annotated[float, Field(ge=-1, le=1)] | None = None
        """Negatives whose cosine is more than the translation's less so much are left out: likely
        translations themselves; null: none is."""
        decoupled: bool = False
        """Leave the translation out of the denominator."""
        centering: Annotated[Centering, Short("loss.centering")] = Centering.language
        """Subtract each language's mean representation in the batch before the cosine."""

        def problems(self, config: "RunConfig") -> Iterator[tuple[str, str]]:
            yield from super().problems(config)
            yield from centring_problems(self.centering, config)

    config: Config
    separable = True

    def work(self, part: "Part") -> Work:
        product = 2 * part.pairs**2 * self.setup.width
        means = 2 * (self.config.centering is Centering.language)
        return Work(self.layer, forward=(2 + means) * product, backward=(4 + means) * product)

    def loss(self, vectors: "Sequence[Tensor]", rows: Rows) -> "tuple[Tensor, Figures]":
        from xalign.objectives.kernels.info_nce import unit_vectors
        from xalign.objectives.kernels.variants import (
            false_by_margin,
            same_pairs,
            weighted_negatives,
        )

        config, groups_N = self.config, rows.numbers["language"]
        source_ND, target_ND = (unit_vectors(side, groups_N, config.centering) for side in vectors)
        same_NN = same_pairs(rows.numbers["source"], rows.numbers["target"])
        ways = [source_ND[rows.own] @ target_ND.T, target_ND[rows.own] @ source_ND.T]
        same = [same_NN[rows.own]] * 2
        if config.false_margin is not None:
            same = [false_by_margin(way, same[0], rows.own, config.false_margin) for way in ways]
        losses = [
            weighted_negatives(
                similarities_nN, same_nN, rows.own, tau=config.tau, hardness=config.hardness,
                positive_share=config.positive_share, decoupled=config.decoupled,
            )
            for similarities_nN, same_nN in zip(ways, same, strict=True)
        ]  # fmt: skip
        right = ways[0].argmax(1) == rows.own_numbers(ways[0].device)
        return (losses[0] + losses[1]) / (2 * rows.count), {"accuracy": float(right.sum()) / rows.count}


OBJECTIVE = HardNegatives
