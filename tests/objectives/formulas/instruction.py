import torch
from plain_formulas import rows_alone
from torch import Tensor

from xalign.data.step import Part
from xalign.models.backbone import Backbone
from xalign.training.module import AlignedModel


def instruction(module: AlignedModel, part: Part, untouched: Backbone) -> Tensor:
    """Li et al., NAACL 2024, equation 3."""
    scores = []
    for tokens in part.texts.buckets:
        assert tokens.labels is not None
        for ids, mask, labels in rows_alone(tokens, tokens.labels):
            logits = module.backbone.model(ids[None]).logits[0].log_softmax(-1)
            scores += [logits[i - 1, labels[i]] for i in range(1, int(mask.sum())) if labels[i] != -100]
    return -torch.stack(scores).mean()
