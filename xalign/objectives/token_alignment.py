"""Token alignment: the tokens of a sentence find theirs in its translation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from xalign.base.registry import Short
from xalign.config.choices import Centering
from xalign.objectives.base import Figures, Rows, Work
from xalign.objectives.pairs import PairsAtLayer, centring_problems

if TYPE_CHECKING:
    from torch import Tensor

    from xalign.config.schema import Config as RunConfig
    from xalign.data.collate import Tokens
    from xalign.data.step import Part
    from xalign.objectives.passes import Pass


class Matching(StrEnum):
    """How tokens of two sentences are matched."""

    best = "best"
    transport = "transport"


class TokenAlignment(PairsAtLayer):
    """Aligns the tokens of a sentence with those of its translation.

    InfoNCE both ways over the similarity of two sentences' tokens: of each token the most similar one of the
    other sentence, in the mean (ColBERT's late interaction, Khattab & Zaharia, SIGIR 2020, equation 3), or
    what is left of the cosines when tokens are moved as cheaply as can be (optimal transport, Cuturi, NeurIPS
    2013; for aligning contextual words Alqahtani et al., Findings of EMNLP 2021). Runs the blocks up to its
    layer alone; all pairs of tokens of the batch are compared, which memory grows with.

    Published: word vectors of encoders, fixed ones or fine-tuned. Here: states of a decoder's middle layer,
    less the mean token of their language, of the first tokens of a sentence.

    Take it when sentence vectors agree already, but what a word is in the other language does not.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(PairsAtLayer.Config):
        matching: Matching = Matching.best
        """`best`: each token's most similar one; `transport`: an optimal transport plan."""
        epsilon: Annotated[float, Field(gt=0)] = 0.05
        """transport: weight of the plan's entropy; the smaller, the nearer to one token each."""
        tokens: Annotated[int, Field(gt=1)] = 24
        """Most tokens of a sentence that are compared, its first."""
        tau: Annotated[float, Field(gt=0), Short("loss.tau")] = 0.05
        """Temperature of the softmax over similarities."""
        centering: Annotated[Centering, Short("loss.centering")] = Centering.language
        """Subtract the mean token of each language in the batch before the cosine."""

        def problems(self, config: "RunConfig") -> Iterator[tuple[str, str]]:
            yield from super().problems(config)
            yield from centring_problems(self.centering, config)

    config: Config
    separable = True

    def work(self, part: "Part") -> Work:
        width, length = self.setup.width, self.config.tokens
        product = 2 * (part.pairs * length) ** 2 * width
        means = 0
        if self.config.centering is Centering.language:
            counts = [
                min(length, count) for tokens in part.texts.buckets for count in tokens.content_counts()
            ]
            languages = len(part.numbers["language"].unique())
            means = 2 * 2 * sum(counts) * languages * width
        return Work(self.layer, forward=2 * product + means, backward=4 * product + means)

    def represent(self, run: "Pass", tokens: "Tokens") -> "Tensor":
        """The first content tokens of each text, zeros where there are fewer: (n, A D)."""
        import torch

        chosen_BT = run.backbone.represented(tokens).bool()
        hidden_SD, owner_S = run.hidden(tokens, self.layer)[chosen_BT].float(), tokens.owners(chosen_BT)
        count_N = owner_S.bincount(minlength=tokens.size)
        place_S = torch.arange(len(owner_S), device=owner_S.device) - (count_N.cumsum(0) - count_N)[owner_S]
        kept_S = place_S < self.config.tokens
        empty = hidden_SD.new_zeros(tokens.size, self.config.tokens, hidden_SD.shape[1])
        return empty.index_put((owner_S[kept_S], place_S[kept_S]), hidden_SD[kept_S]).flatten(1)

    def loss(self, vectors: "Sequence[Tensor]", rows: Rows) -> "tuple[Tensor, Figures]":
        from xalign.objectives.kernels import token_alignment as kernel
        from xalign.objectives.kernels.variants import same_pairs

        config, language_N = self.config, rows.numbers["language"]
        sides, there = zip(*(self._units(side, language_N) for side in vectors), strict=True)
        same_nN = same_pairs(rows.numbers["source"], rows.numbers["target"])[rows.own]
        scores = []
        for here, other in ((0, 1), (1, 0)):
            cosines = kernel.token_similarities(sides[here][rows.own], sides[other])
            found = cosines, there[here][rows.own], there[other]
            if config.matching is Matching.best:
                scores.append(kernel.best_match(*found))
            else:
                scores.append(kernel.transported(*found, config.epsilon))
        losses = [kernel.contrasted(own, same_nN, rows.own, config.tau) for own in scores]
        right = scores[0].argmax(1) == rows.own_numbers(scores[0].device)
        return (losses[0] + losses[1]) / (2 * rows.count), {"accuracy": float(right.sum()) / rows.count}

    def _units(self, vectors_ND: "Tensor", language_N: "Tensor") -> "tuple[Tensor, Tensor]":
        """Tokens (N, A, D) of length 1, less their language's mean, and which are there (N, A)."""
        from torch.nn.functional import normalize

        from xalign.objectives.kernels.info_nce import centre

        tokens_NAD = vectors_ND.unflatten(1, (self.config.tokens, -1))
        there_NA = tokens_NAD.any(-1)
        own_SD = tokens_NAD[there_NA]
        if self.config.centering is Centering.language:
            own_SD = centre(own_SD, language_N[:, None].expand(there_NA.shape)[there_NA])
        units_NAD = tokens_NAD.new_zeros(tokens_NAD.shape).masked_scatter(
            there_NA[..., None].expand(tokens_NAD.shape), normalize(own_SD, dim=-1)
        )
        return units_NAD, there_NA


OBJECTIVE = TokenAlignment
