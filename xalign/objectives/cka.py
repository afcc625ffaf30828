"""CKA: the sentences of a language are brought into the same figure as those of the pivot."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xalign.objectives.base import Figures, Rows, Work
from xalign.objectives.pairs import PairObjective, enough_pairs

if TYPE_CHECKING:
    from torch import Tensor

    from xalign.config.schema import Config as RunConfig
    from xalign.data.step import Part

FEWEST = 4
"""Pairs that the unbiased estimate needs."""


class Cka(PairObjective):
    """Brings a language's sentences into the same figure as the pivot's, up to rotation and scale.

    1 - linear CKA between the sentence vectors of a language and those of their translations into the pivot
    (Kornblith et al. 2019, equation 4), mean over the languages of the batch; the first half of TRepLiNa
    (arXiv 2510.06249), whose second is `state_retention`. Runs the blocks up to its layer alone.

    Published: layer 15, weight 0.01 beside 0.05 of retention and the loss of the task; its code takes tokens
    of both sentences for rows, by their position, which are no translations of each other. Here: rows are
    sentences, and the estimate is without bias, as for the few pairs of a language in a batch the plain one
    is near 1 whatever they are.

    Take it when languages may keep their own place and direction in the model, and only the relations between
    sentences are to agree.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(PairObjective.Config):
        debiased: bool = True
        """Whether HSIC is estimated without bias; false: the plain estimate."""

        def problems(self, config: "RunConfig") -> Iterator[tuple[str, str]]:
            yield from super().problems(config)
            yield from (("kind", problem) for problem in enough_pairs(config, FEWEST))

    config: Config

    def work(self, part: "Part") -> Work:
        # Of each language two Gram matrices, 2 n^2 D each, and two such products for each one's gradient.
        counts = part.numbers["language"].unique(return_counts=True)[1]
        product = 2 * int((counts**2).sum()) * self.setup.width
        return Work(self.layer, forward=2 * product, backward=4 * product)

    def loss(self, vectors: "Sequence[Tensor]", rows: Rows) -> "tuple[Tensor, Figures]":
        import torch

        from xalign.objectives.kernels.cka import linear_cka

        languages_N, (source_ND, target_ND) = rows.numbers["language"], vectors
        values = []
        for language in languages_N.unique():
            own_N = languages_N == language
            values.append(linear_cka(source_ND[own_N], target_ND[own_N], debiased=self.config.debiased))
        cka = torch.stack(values).mean()
        return 1 - cka, {"cka": cka.detach()}


OBJECTIVE = Cka
