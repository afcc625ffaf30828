import torch
from plain_formulas import texts_alone
from torch import Tensor

from xalign.data.step import Part
from xalign.models.backbone import Backbone
from xalign.training.module import AlignedModel


def state_retention(module: AlignedModel, part: Part, untouched: Backbone) -> Tensor:
    """Squared distance of final states from the untouched model's, over the squares of those."""
    losses = []
    for ids, content in texts_alone(part):
        before, now = (
            backbone.model(ids[None], output_hidden_states=True).hidden_states[-1][0][content]
            for backbone in (untouched, module.backbone)
        )
        losses.append((now - before.detach()).square().sum(-1) / before.detach().square().sum(-1))
    return torch.cat(losses).mean()
