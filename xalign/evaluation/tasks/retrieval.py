"""retrieval@1: is a sentence's nearest neighbour its translation? Both directions, every layer."""

from torch import Tensor

from xalign.evaluation.sentences import layered_task
from xalign.evaluation.similarity import retrieval_hits


def _hits(similarity_NN: Tensor) -> dict[str, Tensor]:
    forward_N, backward_N = retrieval_hits(similarity_NN)
    return {"forward": forward_N, "backward": backward_N}


TASK = layered_task("retrieval", "retrieval@1", version="1", score=_hits)
