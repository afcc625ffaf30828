"""Every objective written out: each text by itself, through the whole model, with logits everywhere.

The formula of an objective is the function of its name in `formulas/<name>.py`.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

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


PLAIN: dict[str, Callable[[AlignedModel, Part, Backbone], Tensor]] = {
    file.stem: getattr(import_module(f"formulas.{file.stem}"), file.stem)
    for file in sorted((Path(__file__).parent / "formulas").glob("[!_]*.py"))
}
