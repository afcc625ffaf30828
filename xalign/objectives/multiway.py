"""Multi-way alignment: a sentence in several languages at once, any of them with any other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from xalign.base.registry import Short
from xalign.config.choices import Centering, Pooling
from xalign.config.parts import ObjectiveConfig
from xalign.objectives.base import BatchObjective, Figures, Needs, Rows, Setup, Work, layer_problems

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from xalign.config.schema import Config as RunConfig
    from xalign.data.collate import Tokens
    from xalign.data.sampling import PairSampler
    from xalign.data.step import Part, StepData
    from xalign.objectives.passes import Pass

STREAM = 5
"""Keeps the random numbers of these rows apart from those of words."""


class Multiway(BatchObjective):
    """Pulls all translations of a sentence together, any language with any other, not by way of the pivot.

    Supervised contrastive learning (Khosla et al., NeurIPS 2020, equation 2): each of K languages of a row is
    an anchor whose K - 1 others are positives, the mean of their log-probabilities among all other texts of
    the batch. Rows are drawn among those that have K languages, of which K are drawn. Runs the blocks up to
    its layer alone.

    Published: classes of pictures; tau 0.1. Here: sentences for classes, cosines centred by language, tau
    0.05.

    Take it when the text is there in many languages at once, and pairs without the pivot matter.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(ObjectiveConfig):
        languages: Annotated[int, Field(ge=2)] = 3
        """Languages of a row, K."""
        batch_size: Annotated[int, Field(gt=1)] = 20
        """Rows a step and rank."""
        layer: Annotated[int, Field(ge=0)] | None = None
        """Representations after this block (0: embeddings); null takes `loss.layer`."""
        pooling: Annotated[Pooling, Short("loss.pooling")] = Pooling.mean
        """How hidden states become one vector."""
        tau: Annotated[float, Field(gt=0), Short("loss.tau")] = 0.05
        """Temperature of the softmax over cosine similarities."""
        centering: Annotated[Centering, Short("loss.centering")] = Centering.language
        """Subtract each language's mean representation in the batch before the cosine."""

        @property
        def aligned_layer(self) -> int | None:
            return self.layer

        def problems(self, config: "RunConfig") -> Iterator[tuple[str, str]]:
            yield from layer_problems(self.layer, config)
            there = 1 + len(config.languages.targets)
            if self.languages > there:
                yield "languages", f"there are {there}, the pivot and languages.targets"

    samples_pairs = False
    config: Config

    def __init__(self, config: Config, setup: Setup) -> None:
        super().__init__(config, setup)
        self.layer = setup.layer if config.layer is None else config.layer
        self._rows: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def needs(self) -> Needs:
        tokens = self.config.languages * self.config.batch_size * self.setup.sentence_length
        return Needs(self.layer, tokens=tokens)

    def sample(self, data: "StepData") -> "Part":
        from xalign.data.sampling import text_key, text_of

        pairs, rng, config = data.material.pairs, data.rng(STREAM), self.config
        if self._rows is None:
            self._rows = rows_with(pairs, config.languages)
        rows, present = self._rows
        count = config.batch_size * data.ranks
        drawn = []
        for place in rng.choice(len(rows), count, replace=count > len(rows)):
            # The pivot, number 0, is one of them like any other.
            there = [0, *(1 + int(number) for number in present[place].nonzero()[0])]
            drawn.append((int(rows[place]), rng.permutation(there)[: config.languages].tolist()))
        codes = [pairs.pivot, *pairs.targets]
        own = drawn[data.rank * config.batch_size : (data.rank + 1) * config.batch_size]
        texts, numbers = [], {}
        for side in range(config.languages):
            side_texts = [text_of(pairs.corpus, codes[chosen[side]], row) for row, chosen in own]
            numbers[f"language {side}"] = [chosen[side] for _, chosen in own]
            numbers[f"text {side}"] = [text_key(text) for text in side_texts]
            texts += side_texts
        numbers["row"] = [row for row, _ in own]
        encoded = data.encode(texts, self.setup.sentence_length)
        return data.part(encoded, sides=config.languages, numbers=numbers)

    def work(self, part: "Part") -> Work:
        texts = len(part.texts.order)
        product = 2 * texts**2 * self.setup.width
        means = 0
        if self.config.centering is Centering.language:
            sides = range(self.config.languages)
            codes = {code for k in sides for code in part.numbers[f"language {k}"].tolist()}
            means = 2 * 2 * texts * len(codes) * self.setup.width
        return Work(self.layer, forward=product + means, backward=2 * product + means)

    def represent(self, run: "Pass", tokens: "Tokens") -> "Tensor":
        return run.represent(tokens, self.layer, self.config.pooling)

    def loss(self, vectors: "Sequence[Tensor]", rows: Rows) -> "tuple[Tensor, Figures]":
        import torch

        from xalign.objectives.kernels.info_nce import unit_vectors
        from xalign.objectives.kernels.variants import several_positives

        sides = range(self.config.languages)
        language_M, text_M = (
            torch.cat([rows.numbers[f"{name} {side}"] for side in sides]) for name in ("language", "text")
        )
        row_M = rows.numbers["row"].repeat(self.config.languages)
        unit_MD = unit_vectors(torch.cat([*vectors]), language_M, self.config.centering)
        loss, right = several_positives(unit_MD @ unit_MD.T / self.config.tau, row_M, text_M)
        return loss, {"accuracy": right}


def rows_with(pairs: "PairSampler", languages: int) -> "tuple[np.ndarray, np.ndarray]":
    """The corpus's rows that have so many languages, the pivot among them (R,), and which targets each has
    (R, targets).

    Raises:
        ConfigError: there are fewer than two.
    """
    import numpy as np

    from xalign.base.errors import ConfigError

    size = 1 + max((int(own.max()) for own in pairs.rows.values() if len(own)), default=0)
    present = np.zeros((size, len(pairs.targets)), dtype=bool)
    for number, target in enumerate(pairs.targets):
        present[pairs.rows[target], number] = True
    rows = (present.sum(1) >= languages - 1).nonzero()[0]
    if len(rows) < 2:
        found = f"multiway finds {len(rows)} sentences in {languages} languages"
        raise ConfigError([f"loss.objectives: {found}: lower its option `languages`"])
    return rows, present[rows]


OBJECTIVE = Multiway
