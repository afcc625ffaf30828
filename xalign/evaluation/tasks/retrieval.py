"""retrieval@1: is a sentence's nearest neighbour its translation? Both directions, every layer."""

from typing import TYPE_CHECKING

from xalign.evaluation.metrics import RETRIEVAL
from xalign.evaluation.sets.sentence_task import SentenceTask

if TYPE_CHECKING:
    from torch import Tensor


class Retrieval(SentenceTask):
    """A sentence is found if its translation is strictly nearer than every other candidate."""

    metric = RETRIEVAL

    def blocked(self, similarity_NN: "Tensor") -> "dict[str, Tensor]":
        from xalign.evaluation.engine.similarity import blockers

        forward_NN, backward_NN = blockers(similarity_NN)
        return {"forward": forward_NN, "backward": backward_NN}


TASK = Retrieval
