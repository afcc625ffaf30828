from typing import Any

import torch
from plain_formulas import rows_alone
from torch import Tensor

from xalign.data.step import Part
from xalign.models.backbone import Backbone
from xalign.training.module import AlignedModel


def retention(module: AlignedModel, part: Part, untouched: Backbone) -> Tensor:
    """KL(before || now) at the sampled positions; the model before is one that was never touched."""
    objective: Any = module.objectives["retention"]
    losses = []
    for tokens, chosen in zip(part.texts.buckets, objective.positions(module.run(0), part), strict=True):
        for ids, _, own in rows_alone(tokens, chosen):
            before, now = (
                backbone.model(ids[None]).logits[0][own].log_softmax(-1)
                for backbone in (untouched, module.backbone)
            )
            losses.append((before.detach().exp() * (before.detach() - now)).sum(-1))
    return torch.cat(losses).mean()
