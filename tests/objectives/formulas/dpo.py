import torch
from plain_formulas import answers_alone
from torch import Tensor

from xalign.data.step import Part
from xalign.models.backbone import Backbone
from xalign.training.module import AlignedModel


def dpo(module: AlignedModel, part: Part, untouched: Backbone) -> Tensor:
    """Rafailov et al. 2023, equation 7."""
    gained = answers_alone(module.backbone, part) - answers_alone(untouched, part).detach()
    chosen, rejected = gained.chunk(2)
    return -torch.log(1 / (1 + torch.exp(-0.1 * (chosen - rejected)))).mean()
