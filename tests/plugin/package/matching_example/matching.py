"""Translation matching through a learned head, as in SimCLR (Chen et al., ICML 2020, section 2.1)."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from xalign.config.choices import Pooling
from xalign.objectives.base import BatchObjective, Needs, ObjectiveConfig, Work


class Matching(BatchObjective):
    """InfoNCE between sentences and their translations after a linear map into a small space."""

    @dataclass(frozen=True, kw_only=True)
    class Config(ObjectiveConfig):
        dimensions: Annotated[int, Field(gt=0)] = 16
        """Size of the space in which translations are matched."""
        temperature: Annotated[float, Field(gt=0)] = 0.1
        """Of the softmax over cosine similarities."""

    def build(self):
        from torch import nn

        return nn.Linear(self.setup.width, self.config.dimensions, bias=False)

    @property
    def needs(self):
        tokens = 2 * self.setup.pairs * self.setup.sentence_length
        return Needs(self.setup.layer, tokens=tokens, pairs=True)

    def sample(self, data):
        pairs = data.pairs
        return data.part(data.sentence_ids(pairs), sides=2, pairs=len(pairs))

    def work(self, part):
        head = 2 * 2 * part.pairs * self.setup.width * self.config.dimensions
        similarities = 2 * part.pairs**2 * self.config.dimensions
        return Work(self.setup.layer, forward=head + similarities, backward=2 * (head + similarities))

    def represent(self, run, tokens):
        return self.own(run.represent(tokens, self.setup.layer, Pooling.mean))

    def loss(self, vectors, rows):
        import torch
        from torch.nn.functional import cross_entropy, normalize

        source_ND, target_ND = (normalize(side, dim=-1) for side in vectors)
        logits_NN = source_ND @ target_ND.T / self.config.temperature
        labels_N = torch.arange(rows.count, device=logits_NN.device)
        hits = (logits_NN.argmax(1) == labels_N).float().mean()
        loss = (cross_entropy(logits_NN, labels_N) + cross_entropy(logits_NN.T, labels_N)) / 2
        return loss, {"accuracy": hits}
