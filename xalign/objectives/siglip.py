"""SigLIP: every two sentences are translations of each other or not, each question by itself."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from xalign.base.registry import Short
from xalign.config.choices import Centering
from xalign.objectives.base import Figures, Rows, Work
from xalign.objectives.pairs import PairObjective, centring_problems

if TYPE_CHECKING:
    from torch import Tensor, nn

    from xalign.config.schema import Config as RunConfig
    from xalign.data.step import Part


class Siglip(PairObjective):
    """Says of every two sentences by themselves whether they are translations of each other.

    Sigmoid cross-entropy over cosines, with a scale and a bias that are trained (SigLIP, Zhai et al., ICCV
    2023, arXiv 2303.15343, equation 1), in the mean over pairs. Runs the blocks up to its layer alone.

    Published: scale 10 and bias -10 at first, for which a batch of thousands is as good as a softmax; small
    ones are better. Here: the same, beside the centring by language of `contrastive`.

    Take it when batches are small, or the number of negatives is not to decide how sharp the loss is.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(PairObjective.Config):
        scale: Annotated[float, Field(gt=0)] = 10.0
        """The scale at first."""
        bias: float = -10.0
        """The bias at first."""
        centering: Annotated[Centering, Short("loss.centering")] = Centering.language
        """Subtract each language's mean representation in the batch before the cosine."""

        def problems(self, config: "RunConfig") -> Iterator[tuple[str, str]]:
            yield from super().problems(config)
            yield from centring_problems(self.centering, config)

    config: Config
    separable = True

    def build(self) -> "nn.Module":
        import torch
        from torch import nn

        own = nn.Module()
        own.log_scale = nn.Parameter(torch.tensor(math.log(self.config.scale)))
        own.bias = nn.Parameter(torch.tensor(self.config.bias))
        return own

    def work(self, part: "Part") -> Work:
        product = 2 * part.pairs**2 * self.setup.width
        means = 2 * (self.config.centering is Centering.language)
        return Work(self.layer, forward=(1 + means) * product, backward=(2 + means) * product)

    def loss(self, vectors: "Sequence[Tensor]", rows: Rows) -> "tuple[Tensor, Figures]":
        from xalign.objectives.kernels.info_nce import unit_vectors
        from xalign.objectives.kernels.variants import same_pairs, sigmoid_loss

        assert self.own is not None
        groups_N = rows.numbers["language"]
        source_ND, target_ND = (unit_vectors(side, groups_N, self.config.centering) for side in vectors)
        similarities_nN = source_ND[rows.own] @ target_ND.T
        same_NN = same_pairs(rows.numbers["source"], rows.numbers["target"])
        scale, bias = self.own.get_parameter("log_scale").exp(), self.own.get_parameter("bias")
        summed = sigmoid_loss(similarities_nN, same_NN[rows.own], rows.own, scale, bias)
        right = similarities_nN.argmax(1) == rows.own_numbers(similarities_nN.device)
        return summed / rows.count, {"accuracy": float(right.sum()) / rows.count}


OBJECTIVE = Siglip
