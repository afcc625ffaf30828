import torch
from plain_formulas import texts_alone
from torch import Tensor

from xalign.data.step import Part
from xalign.models.backbone import Backbone
from xalign.training.module import AlignedModel


def distill(module: AlignedModel, part: Part, untouched: Backbone) -> Tensor:
    """Reimers & Gurevych 2020, equation 1, relative to the teacher's vectors."""
    found = []
    for backbone in (module.backbone, untouched):
        states = [
            backbone.model(ids[None], output_hidden_states=True).hidden_states[2][0][content].mean(0)
            for ids, content in texts_alone(part)
        ]
        found.append(torch.stack(states)[part.texts.order].chunk(2))
    (pivot, moved), (taught, _) = found
    losses = [
        ((a - t.detach()).square().sum() + (b - t.detach()).square().sum()) / t.detach().square().sum()
        for a, b, t in zip(pivot, moved, taught, strict=True)
    ]
    return torch.stack(losses).mean()
