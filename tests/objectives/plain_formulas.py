"""Every objective written out: each text by itself, through the whole model, with logits everywhere.

The formula of an objective is the function of its name in `formulas/<name>.py`.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor

from xalign.data.collate import Tokens
from xalign.data.step import Part
from xalign.models.backbone import Backbone
from xalign.training.module import AlignedModel


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


def answers_alone(backbone: Backbone, part: Part) -> Tensor:
    """The log-likelihood of the answer of each text, in the order of the part (N,)."""
    found = []
    for tokens in part.texts.buckets:
        assert tokens.labels is not None
        for ids, _, labels in rows_alone(tokens, tokens.labels):
            logits = backbone.model(ids[None]).logits[0].log_softmax(-1)
            scores = [logits[i - 1, labels[i]] for i in range(1, len(ids)) if labels[i] != -100]
            found.append(torch.stack(scores).sum())
    return torch.stack(found)[part.texts.order]


def centred_pairs(module: AlignedModel, part: Part, layer: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """Mean-pooled vectors of sources and targets, less each language's mean; which pairs share a text."""
    states = [
        module.backbone.model(ids[None], output_hidden_states=True).hidden_states[layer][0][content].mean(0)
        for ids, content in texts_alone(part)
    ]
    sides = list(torch.stack(states)[part.texts.order].chunk(2))
    languages, *keys = (part.numbers[name] for name in ("language", "source", "target"))
    for place, side in enumerate(sides):
        means = {int(g): side[languages == g].mean(0) for g in languages}
        sides[place] = side - torch.stack([means[int(g)] for g in languages])
    same = (keys[0][:, None] == keys[0]) | (keys[1][:, None] == keys[1])
    return sides[0], sides[1], same


PLAIN: dict[str, Callable[[AlignedModel, Part, Backbone], Tensor]] = {
    file.stem: getattr(import_module(f"formulas.{file.stem}"), file.stem)
    for file in sorted((Path(__file__).parent / "formulas").glob("[!_]*.py"))
}
