"""MEXA: how well sentences of a language match their translations into the pivot, layer by layer.

Kargaran et al. 2024, "MEXA: Multilingual Evaluation of English-Centric LLMs via Cross-Lingual
Alignment", equation 1. Its poolings are `weighted_mean` and `last` (`benchmark.poolings`); over layers
it takes the mean and the maximum. Special tokens are left out, while the reference code
(cisnlp/MEXA, embed_extractor.py) weighs a beginning-of-sequence token as the first of the sentence: its
`weighted_mean` figures are others where a tokenizer writes one (Gemma 3 270M, English-German: 0.302
instead of 0.354 over layers). `last` is the same.
"""

from typing import TYPE_CHECKING

from xalign.evaluation.metrics import MEXA
from xalign.evaluation.sets.sentence_task import SentenceTask

if TYPE_CHECKING:
    from torch import Tensor


class Mexa(SentenceTask):
    """A pair matches if it is nearer than all others in both its row and its column."""

    metric = MEXA

    def blocked(self, similarity_NN: "Tensor") -> "dict[str, Tensor]":
        return {"hits": mexa_blockers(similarity_NN)}


def mexa_blockers(similarity_NN: "Tensor") -> "Tensor":
    """Whether sentence j is no farther than the translation in the row or the column of pair i: (N, N).

    MEXA is the share of pairs that no other blocks: s(i, i) > max over j != i of s(i, j) and s(j, i),
    strictly.
    """
    from xalign.evaluation.engine.similarity import blockers

    forward_NN, backward_NN = blockers(similarity_NN)
    return forward_NN | backward_NN


TASK = Mexa
