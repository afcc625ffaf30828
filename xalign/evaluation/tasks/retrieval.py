"""retrieval@1: is a sentence's nearest neighbour its translation? Both directions, every layer."""

from typing import TYPE_CHECKING

from xalign.evaluation.metrics import RETRIEVAL
from xalign.evaluation.sets.sentence_task import SentenceTask

if TYPE_CHECKING:
    from torch import Tensor


class Retrieval(SentenceTask):
    """A sentence is found if its translation is strictly nearer than every other candidate."""

    metric = RETRIEVAL

    def matches(self, similarity_NN: "Tensor") -> "dict[str, tuple[Tensor, Tensor]]":
        from xalign.evaluation.engine.similarity import nearer, only_rival, retrieval_hits

        forward_N, backward_N = retrieval_hits(similarity_NN)
        return {
            "forward": (forward_N, only_rival(nearer(similarity_NN))),
            "backward": (backward_N, only_rival(nearer(similarity_NN.T))),
        }


TASK = Retrieval
