import torch
from plain_formulas import centred_pairs
from torch import Tensor
from torch.nn.functional import cosine_similarity

from xalign.data.step import Part
from xalign.models.backbone import Backbone
from xalign.training.module import AlignedModel


def siglip(module: AlignedModel, part: Part, untouched: Backbone) -> Tensor:
    """Zhai et al. 2023, algorithm 1, one question at a time."""
    source, target, same = centred_pairs(module, part)
    scale, bias = module.own["siglip"].log_scale.exp(), module.own["siglip"].bias
    losses = []
    for i in range(len(source)):
        for j in range(len(target)):
            sign = 1 if i == j else -1
            if i == j or not same[i, j]:
                logit = sign * (scale * cosine_similarity(source[i], target[j], dim=0) + bias)
                losses.append(torch.log(1 + torch.exp(-logit)))
    return torch.stack(losses).sum() / len(source)
