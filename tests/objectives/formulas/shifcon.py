import math
from typing import Any

import torch
from plain_formulas import rows_alone
from torch import Tensor
from torch.nn.functional import cosine_similarity

from xalign.data.step import Part
from xalign.models.backbone import Backbone
from xalign.training.module import AlignedModel


def shifcon(module: AlignedModel, part: Part, untouched: Backbone) -> Tensor:
    """InfoNCE both ways after the area, of states that were moved to the pivot's place before it."""
    objective: Any = module.objectives["shifcon"]
    block = module.backbone.blocks[objective.first]
    vectors = []
    for tokens in part.texts.buckets:
        assert tokens.labels is not None
        every = zip(rows_alone(tokens, tokens.labels), rows_alone(tokens, tokens.content_mask), strict=True)
        for (ids, _, labels), (_, _, content) in every:
            shift = module.own["shifcon"].shifts_CD[int(labels[0])]

            def moved(block: Any, given: Any, options: Any, shift: Tensor = shift) -> Any:
                if given:
                    return (given[0] + shift, *given[1:]), options
                return given, {**options, "hidden_states": options["hidden_states"] + shift}

            hook = block.register_forward_pre_hook(moved, with_kwargs=True)
            states = module.backbone.model(ids[None], output_hidden_states=True).hidden_states[
                objective.layer
            ]
            hook.remove()
            vectors.append(states[0][content.bool()].mean(0))
    source, target = torch.stack(vectors)[part.texts.order].chunk(2)
    keys = [part.numbers[name] for name in ("source", "target")]
    same = (keys[0][:, None] == keys[0]) | (keys[1][:, None] == keys[1])
    cosines = cosine_similarity(source[:, None], target[None], dim=-1)
    logits = (cosines / 0.5).masked_fill(same.fill_diagonal_(False), -math.inf)  # type: ignore[attr-defined]
    return -(logits.log_softmax(1).diagonal().mean() + logits.T.log_softmax(1).diagonal().mean()) / 2
