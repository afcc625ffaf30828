import torch
from plain_formulas import texts_alone
from torch import Tensor
from torch.nn.functional import cosine_similarity

from xalign.data.step import Part
from xalign.models.backbone import Backbone
from xalign.training.module import AlignedModel


def nli_triplets(module: AlignedModel, part: Part, untouched: Backbone) -> Tensor:
    """SimCSE, Gao et al. 2021, equation 5, one premise at a time."""
    states = [
        module.backbone.model(ids[None], output_hidden_states=True).hidden_states[2][0][content].mean(0)
        for ids, content in texts_alone(part)
    ]
    premises, *sides = torch.stack(states)[part.texts.order].chunk(3)
    keys = [part.numbers[name].tolist() for name in ("premise", "entailed", "contradicting")]
    losses = []
    for i, premise in enumerate(premises):
        logits = [cosine_similarity(premise, sides[0][i], dim=0) / 0.5]
        for side, own in zip(sides, keys[1:], strict=True):
            for j, other in enumerate(side):
                equal = own[j] == keys[1][i] or (side is sides[0] and keys[0][j] == keys[0][i])
                if not equal:
                    logits.append(cosine_similarity(premise, other, dim=0) / 0.5)
        losses.append(-torch.stack(logits).log_softmax(0)[0])
    return torch.stack(losses).mean()
