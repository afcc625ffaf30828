"""Multilingual contrastive learning (MCL): InfoNCE between the sentences of translation pairs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from xalign.base.registry import Short
from xalign.config.choices import Centering
from xalign.objectives.base import Figures, Rows, Setup, Work
from xalign.objectives.pairs import PairObjective, centring_problems

if TYPE_CHECKING:
    from torch import Tensor, nn

    from xalign.config.schema import Config as RunConfig
    from xalign.data.collate import Tokens
    from xalign.data.step import Part
    from xalign.objectives.passes import Pass


class Contrastive(PairObjective):
    """Pulls the hidden states of a sentence and its translation together inside the decoder.

    InfoNCE over cosine similarities of sentence vectors after one block (Li et al., NAACL 2024, equation 1),
    with in-batch negatives of all ranks, and a queue of earlier ones. Runs the blocks up to the layer alone.

    Published: layer 1, the last token's state, raw cosines, one direction, tau 0.05, no queue
    (`loss=afp_paper`). Here: the middle layer, mean pooling, cosines of vectors centred by language, both
    directions.

    Take it when translations are to be near each other inside the model: the cheapest way per gain in
    retrieval, as no block above its layer runs.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(PairObjective.Config):
        weight: Annotated[float, Field(ge=0), Short("loss.{kind}_weight")] = 1.0
        """w_c, its weight in the sum; 0 leaves it out."""
        tau: Annotated[float, Field(gt=0), Short("loss.tau")] = 0.05
        """Temperature of the softmax over cosine similarities."""
        symmetric: Annotated[bool, Short("loss.symmetric")] = True
        """Average both directions; false is pivot to target only, as published."""
        centering: Annotated[Centering, Short("loss.centering")] = Centering.language
        """Subtract each language's mean representation in the batch before the cosine."""
        queue: Annotated[int, Field(ge=0), Short("loss.queue")] = 0
        """Past translations kept as further negatives."""
        hold_pivot: bool = False
        """Whether vectors of the pivot get no gradient, so that only the languages move towards it."""
        projection: Annotated[int | None, Field(gt=0), Short("loss.projection")] = None
        """Size of a linear projection of the vectors, trained with the model and left out of it afterwards,
        in which translations are pulled together; null: the vectors themselves."""

        def problems(self, config: "RunConfig") -> Iterator[tuple[str, str]]:
            yield from super().problems(config)
            yield from centring_problems(self.centering, config)

    config: Config

    separable = True

    def __init__(self, config: Config, setup: Setup) -> None:
        from xalign.objectives.kernels.queue import NegativeQueue

        super().__init__(config, setup)
        self.queue = NegativeQueue(config.queue) if config.queue else None

    def build(self) -> "nn.Module | None":
        """The projection head of SimCLR (Chen et al. 2020, section 4.2), its linear form."""
        from torch import nn

        size = self.config.projection
        return None if size is None else nn.Linear(self.setup.width, size, bias=False)

    def work(self, part: "Part") -> Work:
        # Similarities, once a direction, and the languages' means: 2 N^2 D each.
        width = self.config.projection or self.setup.width
        product = 2 * part.pairs**2 * width
        projected = 2 * (2 * part.pairs) * self.setup.width * width if self.config.projection else 0
        similarities, means = 1 + self.config.symmetric, 2 * (self.config.centering is Centering.language)
        return Work(
            self.layer,
            forward=(similarities + means) * product + projected,
            backward=(2 * similarities + means) * product + 2 * projected,
        )

    def represent(self, run: "Pass", tokens: "Tokens") -> "Tensor":
        vectors_ND = super().represent(run, tokens)
        if self.own is None:
            return vectors_ND
        projected: Tensor = self.own(vectors_ND)
        return projected

    def loss(self, vectors: "Sequence[Tensor]", rows: Rows) -> "tuple[Tensor, Figures]":
        from xalign.objectives.kernels.info_nce import Negatives, info_nce, unit_vectors

        config, (source_ND, target_ND) = self.config, vectors
        if config.hold_pivot:
            source_ND = source_ND.detach()
        languages, source_keys, target_keys = (rows.numbers[key] for key in ("language", "source", "target"))
        summed, hits = info_nce(
            source_ND,
            target_ND,
            groups_N=languages,
            source_keys_N=source_keys,
            target_keys_N=target_keys,
            tau=config.tau,
            symmetric=config.symmetric,
            centering=config.centering,
            rows=rows.own,
            past=None if self.queue is None else self.queue.negatives(source_ND.device),
        )
        if self.queue is not None:
            source, target = (unit_vectors(side.detach(), languages, config.centering) for side in vectors)
            self.queue.push(Negatives(source, target, source_keys, target_keys))
        return summed / rows.count, {"accuracy": float(hits) / rows.count}

    def state(self) -> "dict[str, Tensor]":
        return {} if self.queue is None else self.queue.state_dict()

    def load_state(self, state: "Mapping[str, Tensor]") -> None:
        if self.queue is not None:
            self.queue.load_state_dict(state)


OBJECTIVE = Contrastive
