import math

import torch
from plain_formulas import texts_alone
from torch import Tensor
from torch.nn.functional import cosine_similarity

from xalign.data.step import Part
from xalign.models.backbone import Backbone
from xalign.training.module import AlignedModel


def token_alignment(module: AlignedModel, part: Part, untouched: Backbone) -> Tensor:
    """InfoNCE both ways over ColBERT's similarity, or that of an optimal transport plan, two sentences at a
    time."""
    config = module.config.loss.objectives["token_alignment"]
    texts = []
    for ids, content in texts_alone(part):
        states = module.backbone.model(ids[None], output_hidden_states=True).hidden_states[2][0]
        texts.append(states[content][: config.tokens])
    texts = [texts[place] for place in part.texts.order.tolist()]
    languages, *keys = (part.numbers[name] for name in ("language", "source", "target"))
    count = len(languages)
    sides = []
    for side in (texts[:count], texts[count:]):
        means = {
            code: torch.cat(
                [own for own, other in zip(side, languages.tolist(), strict=True) if other == code]
            )
            for code in languages.tolist()
        }
        pairs = zip(side, languages.tolist(), strict=True)
        sides.append([own - means[code].mean(0) for own, code in pairs])
    same = (keys[0][:, None] == keys[0]) | (keys[1][:, None] == keys[1])
    same.fill_diagonal_(False)  # type: ignore[arg-type]
    losses = []
    for here, there in (sides, sides[::-1]):
        scores = torch.stack([torch.stack([score(a, b, config) for b in there]) for a in here])
        logits = (scores / config.tau).masked_fill(same, -math.inf)
        losses.append(-logits.log_softmax(1).diagonal().mean())
    return torch.stack(losses).mean()


def score(a: Tensor, b: Tensor, config: object) -> Tensor:
    cosines = cosine_similarity(a[:, None], b[None], dim=-1)
    if config.matching == "best":  # type: ignore[attr-defined]
        return cosines.max(1).values.mean()
    plan = (cosines.detach() / config.epsilon).exp()  # type: ignore[attr-defined]
    for _ in range(20):
        plan = plan / plan.sum(1, keepdim=True) / len(a)
        plan = plan / plan.sum(0, keepdim=True) / len(b)
    return (plan * cosines).sum()
