import math

import torch
from plain_formulas import texts_alone
from torch import Tensor
from torch.nn.functional import cosine_similarity

from xalign.data.step import Part
from xalign.models.backbone import Backbone
from xalign.training.module import AlignedModel


def words(module: AlignedModel, part: Part, untouched: Backbone) -> Tensor:
    """PreAlign, arXiv 2407.16222, equation 1, both ways, mean over layers."""
    layers = module.objectives["words"].layers  # type: ignore[attr-defined]
    every = []
    for ids, content in texts_alone(part):
        states = module.backbone.model(ids[None], output_hidden_states=True).hidden_states
        every.append(torch.stack([states[layer][0][content].mean(0) for layer in layers]))
    keys = [part.numbers[name] for name in ("source", "target")]
    same = (keys[0][:, None] == keys[0]) | (keys[1][:, None] == keys[1])
    same.fill_diagonal_(False)  # type: ignore[arg-type]
    losses = []
    for vectors in torch.stack(every)[part.texts.order].unbind(1):
        source, target = vectors.chunk(2)
        cosines = cosine_similarity(source[:, None], target[None], dim=-1)
        logits = (cosines / 0.07).masked_fill(same, -math.inf)
        losses += [-own.log_softmax(1).diagonal().mean() for own in (logits, logits.T)]
    return torch.stack(losses).mean()
