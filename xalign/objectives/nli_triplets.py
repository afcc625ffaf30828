"""Entailment triplets: a sentence is near what follows from it, and far from what contradicts it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from xalign.base.registry import Short
from xalign.config.choices import Pooling
from xalign.config.parts import ObjectiveConfig
from xalign.objectives.base import BatchObjective, Figures, Needs, Rows, Setup, Work, layer_problems

if TYPE_CHECKING:
    from torch import Tensor

    from xalign.config.schema import Config as RunConfig
    from xalign.data.collate import Tokens
    from xalign.data.step import Part, StepData
    from xalign.objectives.passes import Pass

STREAM = 7
"""Keeps the random numbers of triplets apart from those of others."""


class NliTriplets(BatchObjective):
    """Puts a sentence near what follows from it, and far from what contradicts it.

    InfoNCE from a premise to its entailment, among all entailments and all contradictions of the batch (Gao
    et al., EMNLP 2021, SimCSE, equation 5); with translated triplets of all languages pooled it is how
    IndicSBERT is trained (Deode et al., arXiv 2304.11434, of which the abstract was read). Triplets are read
    from files of natural language inference. Runs the blocks up to its layer alone.

    Published: encoders, mean pooling, translated NLI and then STS, without any explicit alignment; SimCSE tau
    0.05. Here: decoders, at the aligned layer.

    Take it when NLI data is there in the languages, and meaning, not translation, is to decide what is near.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(ObjectiveConfig):
        path: str | None = None
        """File, or folder of files (.tsv, .csv, .jsonl), with columns `premise` and `hypothesis` (or
        `sentence1` and `sentence2`) and `label` (or `gold_label`): entailment and contradiction, or 0 and 2.
        Required."""
        batch_size: Annotated[int, Field(gt=1)] = 32
        """Triplets a step and rank."""
        layer: Annotated[int, Field(ge=0)] | None = None
        """Representations after this block (0: embeddings); null takes `loss.layer`."""
        pooling: Annotated[Pooling, Short("loss.pooling")] = Pooling.mean
        """How hidden states become one vector."""
        tau: Annotated[float, Field(gt=0), Short("loss.tau")] = 0.05
        """Temperature of the softmax over cosine similarities."""

        @property
        def aligned_layer(self) -> int | None:
            return self.layer

        def problems(self, config: "RunConfig") -> Iterator[tuple[str, str]]:
            yield from layer_problems(self.layer, config)
            if self.path is None:
                yield "path", "required: a file or folder of natural language inference (XNLI's layout, say)"
            elif not Path(self.path).expanduser().exists():
                yield "path", "is not there"

    samples_pairs = False
    config: Config

    def __init__(self, config: Config, setup: Setup) -> None:
        super().__init__(config, setup)
        self.layer = setup.layer if config.layer is None else config.layer
        self._triplets: list[tuple[str, str, str]] = []

    @property
    def needs(self) -> Needs:
        return Needs(self.layer, tokens=3 * self.config.batch_size * self.setup.sentence_length)

    def sample(self, data: "StepData") -> "Part":
        from xalign.data.nli import triplets_of
        from xalign.data.sampling import text_key

        if not self._triplets:
            assert self.config.path is not None
            self._triplets = triplets_of(Path(self.config.path).expanduser())
        own = data.drawn(self._triplets, self.config.batch_size, STREAM)
        premises, entailed, contradicting = map(list, zip(*own, strict=True))
        numbers = {
            "premise": [text_key(text) for text in premises],
            "entailed": [text_key(text) for text in entailed],
            "contradicting": [text_key(text) for text in contradicting],
        }
        ids = data.encode([*premises, *entailed, *contradicting], self.setup.sentence_length)
        return data.part(ids, sides=3, numbers=numbers)

    def work(self, part: "Part") -> Work:
        count = len(part.texts.order) // 3
        product = 2 * count * 2 * count * self.setup.width
        return Work(self.layer, forward=product, backward=2 * product)

    def represent(self, run: "Pass", tokens: "Tokens") -> "Tensor":
        return run.represent(tokens, self.layer, self.config.pooling)

    def loss(self, vectors: "Sequence[Tensor]", rows: Rows) -> "tuple[Tensor, Figures]":
        import torch
        from torch.nn.functional import normalize

        from xalign.objectives.kernels.token_alignment import contrasted

        premises_ND, *others = (normalize(side, dim=-1) for side in vectors)
        scores_NM = premises_ND @ torch.cat(others).T
        # Of equal premises the entailments are no negatives of each other, nor what is equal to the
        # entailment.
        keys = rows.numbers
        candidates_M = torch.cat([keys["entailed"], keys["contradicting"]])
        same_NM = keys["entailed"][:, None] == candidates_M
        same_NM[:, : rows.count] |= keys["premise"][:, None] == keys["premise"]
        loss = contrasted(scores_NM, same_NM, slice(0, rows.count), self.config.tau) / rows.count
        right_N = scores_NM.argmax(1) == torch.arange(rows.count, device=scores_NM.device)
        return loss, {"accuracy": right_N.to(loss.dtype).mean()}


OBJECTIVE = NliTriplets
