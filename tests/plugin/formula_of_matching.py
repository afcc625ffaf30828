"""The formula of the example's objective, for the contract's suite: `pytest -p formula_of_matching`."""

import torch
from plain_formulas import PLAIN, texts_alone
from torch import Tensor
from torch.nn.functional import cosine_similarity

from xalign.data.step import Part
from xalign.models.backbone import Backbone
from xalign.training.module import AlignedModel


def matching(module: AlignedModel, part: Part, untouched: Backbone) -> Tensor:
    """SimCLR's loss (Chen et al., ICML 2020, equation 1), each side against the other."""
    head = module.own["matching"].weight
    states = [
        module.backbone.model(ids[None], output_hidden_states=True).hidden_states[2][0][content].mean(0)
        for ids, content in texts_alone(part)
    ]
    source, target = (torch.stack(states)[part.texts.order] @ head.T).chunk(2)
    logits = cosine_similarity(source[:, None], target[None], dim=-1) / 0.1
    return -(logits.log_softmax(1).diagonal().mean() + logits.T.log_softmax(1).diagonal().mean()) / 2


PLAIN["matching"] = matching
