"""A model being measured, and the vectors that its tasks share."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from xalign.base.progress import Advance
from xalign.config.choices import Pooling
from xalign.evaluation.engine.journal import Journal
from xalign.evaluation.engine.representations import represent
from xalign.evaluation.task import SentenceVectors
from xalign.models.backbone import Backbone
from xalign.models.fingerprint import model_fingerprint

KEPT_VECTORS = 2**31
"""Bytes of sentence vectors that a session keeps."""


@dataclass
class Session:
    """A model being measured. Vectors are kept: retrieval, MEXA and the picture share them."""

    backbone: Backbone
    name: str
    """The benchmark's, in the rows of its tasks."""
    batch_tokens: int
    poolings: dict[int, list[Pooling]] = field(default_factory=dict)
    """Tokens kept of a sentence -> all poolings that are wanted with so many: one pass serves them all."""
    journal: Journal = field(default_factory=Journal)
    """Of the part that is being measured."""
    _vectors: dict[tuple[int, Pooling, str], Tensor] = field(default_factory=dict)

    @cached_property
    def fingerprint(self) -> str:
        """One hash for what the model computes, and of which tokens its vectors are made."""
        found = model_fingerprint(self.backbone.model, self.backbone.tokenizer)
        return f"{found}, without first tokens" if self.backbone.leaves_out_first else found

    def represent(
        self,
        texts: Sequence[str],
        pooling: Pooling,
        max_length: int,
        advance: Advance = lambda count: None,
    ) -> Tensor:
        """Vectors (N, L + 1, D) of texts; `advance` counts those that are run for the first time."""
        kept = {text: self._vectors.get((max_length, pooling, text)) for text in dict.fromkeys(texts)}
        found = {text: vector for text, vector in kept.items() if vector is not None}
        missing = [text for text in kept if text not in found]
        if missing:
            poolings = list(dict.fromkeys([pooling, *self.poolings.get(max_length, [])]))
            vectors = represent(
                self.backbone,
                missing,
                *poolings,
                max_length=max_length,
                batch_tokens=self.batch_tokens,
                advance=advance,
            )
            vectors = vectors.reshape(len(poolings), len(missing), *vectors.shape[-2:])
            for own, of_texts in zip(poolings, vectors, strict=True):
                for text, vector in zip(missing, of_texts, strict=True):
                    self._vectors[max_length, own, text] = vector.clone()
            found |= {text: self._vectors[max_length, pooling, text] for text in missing}
            room = KEPT_VECTORS // vectors[0, 0].nbytes
            for oldest in list(self._vectors)[: max(0, len(self._vectors) - room)]:
                del self._vectors[oldest]
        return torch.stack([found[text] for text in texts])


def poolings_of(looked_at: Iterable[SentenceVectors | None]) -> dict[int, list[Pooling]]:
    """Tokens kept of a sentence -> poolings that are wanted with so many, of what tasks and analyses look
    at."""
    wanted: dict[int, list[Pooling]] = {}
    for vectors in looked_at:
        if vectors is not None:
            own = wanted.setdefault(vectors.max_length, [])
            own += [pooling for pooling in vectors.poolings if pooling not in own]
    return wanted
