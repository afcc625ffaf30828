"""Every objective written out: each text by itself, through the whole model, with logits everywhere."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from xalign.data.collate import Tokens
from xalign.data.step import Part
from xalign.models.backbone import Backbone
from xalign.training.module import AlignedModel


def contrastive(module: AlignedModel, part: Part, untouched: Backbone) -> Tensor:
    """Li et al., NAACL 2024, equation 1, both ways, with each language's mean taken off each side."""
    config = module.config.loss.objectives["contrastive"]
    vectors: Any = []
    for ids, content in texts_alone(part):
        states = module.backbone.model(ids[None], output_hidden_states=True).hidden_states[2][0]
        vectors.append(states[content].mean(0))
    vectors = torch.stack(vectors)
    if module.objectives["contrastive"].own is not None:
        vectors = vectors @ module.own["contrastive"].weight.T
    sides = list(vectors[part.texts.order].chunk(2))
    languages, *keys = (part.numbers[name] for name in ("language", "source", "target"))
    for place, side in enumerate(sides):
        means = {int(g): side[languages == g].mean(0) for g in languages}
        sides[place] = side - torch.stack([means[int(g)] for g in languages])
    cosines = torch.nn.functional.cosine_similarity(sides[0][:, None], sides[1][None], dim=-1)
    same = (keys[0][:, None] == keys[0]) | (keys[1][:, None] == keys[1])
    logits = (cosines / config.tau).masked_fill(same.fill_diagonal_(False), -math.inf)  # type: ignore[attr-defined]
    return -(logits.log_softmax(1).diagonal().mean() + logits.T.log_softmax(1).diagonal().mean()) / 2


def instruction(module: AlignedModel, part: Part, untouched: Backbone) -> Tensor:
    """Li et al., NAACL 2024, equation 3."""
    scores = []
    for tokens in part.texts.buckets:
        assert tokens.labels is not None
        for ids, mask, labels in rows_alone(tokens, tokens.labels):
            logits = module.backbone.model(ids[None]).logits[0].log_softmax(-1)
            scores += [logits[i - 1, labels[i]] for i in range(1, int(mask.sum())) if labels[i] != -100]
    return -torch.stack(scores).mean()


def retention(module: AlignedModel, part: Part, untouched: Backbone) -> Tensor:
    """KL(before || now) at the sampled positions; the model before is one that was never touched."""
    objective: Any = module.objectives["retention"]
    losses = []
    for tokens, chosen in zip(part.texts.buckets, objective.positions(module.run(0), part), strict=True):
        for ids, _, own in rows_alone(tokens, chosen):
            before, now = (
                backbone.model(ids[None]).logits[0][own].log_softmax(-1)
                for backbone in (untouched, module.backbone)
            )
            losses.append((before.detach().exp() * (before.detach() - now)).sum(-1))
    return torch.cat(losses).mean()


def state_retention(module: AlignedModel, part: Part, untouched: Backbone) -> Tensor:
    """Squared distance of final states from the untouched model's, over the squares of those."""
    losses = []
    for ids, content in texts_alone(part):
        before, now = (
            backbone.model(ids[None], output_hidden_states=True).hidden_states[-1][0][content]
            for backbone in (untouched, module.backbone)
        )
        losses.append((now - before.detach()).square().sum(-1) / before.detach().square().sum(-1))
    return torch.cat(losses).mean()


PLAIN: dict[str, Callable[[AlignedModel, Part, Backbone], Tensor]] = {
    "contrastive": contrastive,
    "instruction": instruction,
    "retention": retention,
    "state_retention": state_retention,
}


def texts_alone(part: Part) -> list[tuple[Tensor, Tensor]]:
    """Ids and content of each text, in the order of the buckets."""
    return [
        (ids, values.bool())
        for tokens in part.texts.buckets
        for ids, _, values in rows_alone(tokens, tokens.content_mask)
    ]


def rows_alone(tokens: Tokens, values: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Ids, mask and some values of each text of a bucket, padding and neighbours taken off."""
    if tokens.texts is None:
        masks = [(row, row_mask.bool()) for row, row_mask in enumerate(tokens.attention_mask)]
    else:
        masks = []
        for number in range(int(tokens.texts.max()) + 1):
            row = int((tokens.texts == number).any(1).nonzero()[0])
            masks.append((row, tokens.texts[row] == number))
    return [(tokens.input_ids[row][m], m[m], values[row][m]) for row, m in masks]
