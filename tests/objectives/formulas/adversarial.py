import math

import torch
from plain_formulas import texts_alone
from torch import Tensor

from xalign.data.step import Part
from xalign.models.backbone import Backbone
from xalign.training.module import AlignedModel


def adversarial(module: AlignedModel, part: Part, untouched: Backbone) -> Tensor:
    """Tzeng et al. 2015, equations 2 and 3, one vector at a time; less log C, so that the model's part is 0
    where the answer is uniform."""
    states = [
        module.backbone.model(ids[None], output_hidden_states=True).hidden_states[2][0][content].mean(0)
        for ids, content in texts_alone(part)
    ]
    vectors = torch.stack(states)[part.texts.order]
    vectors = vectors / vectors.norm(dim=1, keepdim=True) * vectors.shape[1] ** 0.5
    languages = part.numbers["language"]
    wanted = [2] * len(languages) + languages.tolist()
    probe = module.own["adversarial"]

    def answers(
        given: Tensor, weight1: Tensor, bias1: Tensor, weight2: Tensor, bias2: Tensor
    ) -> list[Tensor]:
        return [(weight2 @ (weight1 @ one + bias1).clamp(min=0) + bias2).log_softmax(0) for one in given]

    first, last = probe[0], probe[2]
    parameters = (first.weight, first.bias, last.weight, last.bias)
    losses: dict[int, list[Tensor]] = {}
    of_probe = answers(vectors.detach(), *parameters)
    of_model = answers(vectors, *(p.detach() for p in parameters))
    for language, own, seen in zip(wanted, of_probe, of_model, strict=True):
        losses.setdefault(language, []).append(-own[language] - seen.mean() - math.log(3))
    return torch.stack([torch.stack(own).mean() for own in losses.values()]).mean()
