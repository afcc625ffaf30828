import torch
from plain_formulas import rows_alone
from torch import Tensor

from xalign.data.collate import Buckets
from xalign.data.step import Part
from xalign.models.backbone import Backbone
from xalign.training.module import AlignedModel


def self_teaching(module: AlignedModel, part: Part, untouched: Backbone) -> Tensor:
    """FILTER, arXiv 2009.05166, equation 6, with T = 1: KL of an answer's tokens, one text at a time."""
    assert part.beside is not None
    losses = []
    for own, taught in zip(
        answers(module.backbone, part.texts), answers(untouched, part.beside), strict=True
    ):
        taught = taught.detach()
        losses.append((taught.exp() * (taught - own)).sum(-1))
    return torch.cat(losses).mean()


def answers(backbone: Backbone, texts: Buckets) -> list[Tensor]:
    """Of each text, in their order, log-probabilities of all words at its answer's tokens (S, V)."""
    found = []
    for tokens in texts.buckets:
        assert tokens.labels is not None
        for ids, _, labels in rows_alone(tokens, tokens.labels):
            places = [i - 1 for i in range(1, len(ids)) if labels[i] != -100]
            found.append(backbone.model(ids[None]).logits[0].log_softmax(-1)[places])
    return [found[place] for place in texts.order.tolist()]
