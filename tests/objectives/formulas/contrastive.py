import math
from typing import Any

import torch
from plain_formulas import texts_alone
from torch import Tensor

from xalign.data.step import Part
from xalign.models.backbone import Backbone
from xalign.training.module import AlignedModel


def contrastive(module: AlignedModel, part: Part, untouched: Backbone) -> Tensor:
    """Li et al., NAACL 2024, equation 1, both ways, with each language's mean taken off each side."""
    config = module.config.loss.objectives["contrastive"]
    vectors: Any = []
    for ids, content in texts_alone(part):
        states = module.backbone.model(ids[None], output_hidden_states=True).hidden_states[2][0]
        vectors.append(states[content].mean(0))
    vectors = torch.stack(vectors)
    if module.objectives["contrastive"].own is not None:
        vectors = vectors @ module.own["contrastive"].weight.T
    sides = list(vectors[part.texts.order].chunk(2))
    languages, *keys = (part.numbers[name] for name in ("language", "source", "target"))
    for place, side in enumerate(sides):
        means = {int(g): side[languages == g].mean(0) for g in languages}
        sides[place] = side - torch.stack([means[int(g)] for g in languages])
    cosines = torch.nn.functional.cosine_similarity(sides[0][:, None], sides[1][None], dim=-1)
    same = (keys[0][:, None] == keys[0]) | (keys[1][:, None] == keys[1])
    logits = (cosines / config.tau).masked_fill(same.fill_diagonal_(False), -math.inf)  # type: ignore[attr-defined]
    return -(logits.log_softmax(1).diagonal().mean() + logits.T.log_softmax(1).diagonal().mean()) / 2
