import torch
from plain_formulas import texts_alone
from torch import Tensor

from xalign.data.step import Part
from xalign.models.backbone import Backbone
from xalign.training.module import AlignedModel


def cka(module: AlignedModel, part: Part, untouched: Backbone) -> Tensor:
    """Kornblith et al. 2019, equation 4, with HSIC estimated by Nguyen et al. 2021, equation 3, mean over
    languages."""
    states = [
        module.backbone.model(ids[None], output_hidden_states=True).hidden_states[2][0][content].mean(0)
        for ids, content in texts_alone(part)
    ]
    sides = torch.stack(states)[part.texts.order].chunk(2)
    found = []
    for language in part.numbers["language"].unique():
        grams = []
        for side in sides:
            own = side[part.numbers["language"] == language]
            gram = (own - own.mean(0)) @ (own - own.mean(0)).T
            grams.append(gram - torch.diag(gram.diagonal()))
        found.append(hsic(*grams) / (hsic(grams[0], grams[0]) * hsic(grams[1], grams[1])).sqrt())
    return 1 - torch.stack(found).mean()


def hsic(k: Tensor, m: Tensor) -> Tensor:
    n, one = len(k), torch.ones(len(k), dtype=k.dtype)
    whole = torch.trace(k @ m) + (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2))
    return (whole - 2 * (one @ k @ m @ one) / (n - 2)) / (n * (n - 3))
