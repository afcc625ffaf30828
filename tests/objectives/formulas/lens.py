import torch
from plain_formulas import texts_alone
from torch import Tensor

from xalign.data.step import Part
from xalign.models.backbone import Backbone
from xalign.training.module import AlignedModel


def lens(module: AlignedModel, part: Part, untouched: Backbone) -> Tensor:
    """Lens, arXiv 2410.04407, one pair at a time, in the coordinates of the subspaces."""
    own = module.own["lens"]
    sides = []
    for backbone in (module.backbone, untouched):
        states = [
            backbone.model(ids[None], output_hidden_states=True).hidden_states[-1][0][content].mean(0)
            for ids, content in texts_alone(part)
        ]
        sides.append(torch.stack(states)[part.texts.order].chunk(2))
    (pivot, moved), (pivot_before, before) = sides[0], [side.detach() for side in sides[1]]
    losses = []
    for number, language in enumerate(part.numbers["language"].tolist()):
        pull = (own.shared_D @ moved[number] - own.shared_D @ pivot[number]) ** 2
        reference = before[number] + own.steps_CD[language]
        push = sum((own.specific_DR[:, k] @ (moved[number] - reference)) ** 2 for k in range(2))
        losses.append((pull + push) / len(reference))
    return torch.stack(losses).mean() + (pivot.mean(0) - pivot_before.mean(0)).square().mean()
