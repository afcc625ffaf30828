"""retrieval@1: is a sentence's nearest neighbour its translation? Both directions, every layer."""

from torch import Tensor

from xalign.evaluation.sentences import layered_task
from xalign.evaluation.similarity import blockers


def _blocked(similarity_NN: Tensor) -> dict[str, Tensor]:
    forward_NN, backward_NN = blockers(similarity_NN)
    return {"forward": forward_NN, "backward": backward_NN}


TASK = layered_task("retrieval", "retrieval@1", version="1", blocked=_blocked)
