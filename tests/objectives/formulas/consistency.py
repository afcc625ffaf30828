import torch
from plain_formulas import answers_alone
from torch import Tensor

from xalign.data.step import Part
from xalign.models.backbone import Backbone
from xalign.training.module import AlignedModel


def consistency(module: AlignedModel, part: Part, untouched: Backbone) -> Tensor:
    """DCO, arXiv 2603.04678, with beta = 1."""
    now, before = (answers_alone(own, part).chunk(4) for own in (module.backbone, untouched))
    odds = [[side[k] - side[k + 1] for k in (0, 2)] for side in (now, [own.detach() for own in before])]
    (now_1, now_2), (before_1, before_2) = odds
    return (
        torch.stack([(now_1 - before_1 - before_2).abs(), (now_2 - before_2 - before_1).abs()]).sum(0).mean()
    )
