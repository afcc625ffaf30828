import torch
from plain_formulas import rows_alone
from torch import Tensor

from xalign.data.step import Part
from xalign.models.backbone import Backbone
from xalign.training.module import AlignedModel


def language_modelling(module: AlignedModel, part: Part, untouched: Backbone) -> Tensor:
    """Cross-entropy of every token that is not special, given those before it."""
    special = set(module.backbone.tokenizer.all_special_ids)
    scores = []
    for tokens in part.texts.buckets:
        for ids, _, _ in rows_alone(tokens, tokens.attention_mask):
            logits = module.backbone.model(ids[None]).logits[0].log_softmax(-1)
            scores += [logits[i - 1, ids[i]] for i in range(1, len(ids)) if int(ids[i]) not in special]
    return -torch.stack(scores).mean()
