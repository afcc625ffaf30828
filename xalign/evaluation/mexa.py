"""MEXA: how well sentences of a language match their translations into the pivot, layer by layer.

Kargaran et al. 2024, "MEXA: Multilingual Evaluation of English-Centric LLMs via Cross-Lingual
Alignment", equation 1.
"""

from torch import Tensor, maximum

from xalign.evaluation.retrieval import without_diagonal


def mexa_hits(similarity_NN: Tensor) -> Tensor:
    """Whether pair i is nearer than all others in both its row and its column: (N,) booleans.

    MEXA is their mean: s(i, i) > max over j != i of s(i, j) and s(j, i), strictly.
    """
    others_NN = without_diagonal(similarity_NN)
    return similarity_NN.diagonal() > maximum(others_NN.amax(0), others_NN.amax(1))
