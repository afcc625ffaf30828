"""Rows of the embeddings and the head for pieces that a tokenizer has gained: added, and trained alone."""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from xalign.base.errors import ConfigError

FIRST = "xalign_first_new_row"
"""In the model's config: the row from which on they are new. Other programs pass it over."""


def add_rows(model: PreTrainedModel, rows: Tensor, head_rows: Tensor | None) -> int:
    """Append rows (new, D) to the embeddings, and to a head of its own `head_rows`; the first one's number.

    The old rows stay as they are to the bit. A head's bias is 0 for new ones.
    """
    table = model.get_input_embeddings()
    assert isinstance(table, nn.Embedding)
    first = table.num_embeddings
    model.resize_token_embeddings(first + len(rows), mean_resizing=False)
    with torch.no_grad():
        model.get_input_embeddings().weight[first:] = rows.to(table.weight.dtype)  # type: ignore[operator]
        if head_rows is not None:
            head: Any = model.get_output_embeddings()
            head.weight[first:] = head_rows.to(head.weight.dtype)
            if head.bias is not None:
                head.bias[first:] = 0
    setattr(model.config, FIRST, getattr(model.config, FIRST, first))
    return first


def first_new_row(model: PreTrainedModel) -> int | None:
    """The row from which on they are new; None: none is."""
    found = getattr(model.config, FIRST, None)
    return found if isinstance(found, int) else None


def train_new_rows(model: PreTrainedModel, key: str) -> None:
    """Mark the embeddings and the head as trained, and let only the new rows have a gradient.

    A row without gradient is never moved by AdamW without weight decay: its moments stay 0.

    Raises:
        ConfigError: the model has no new rows.
    """
    first = first_new_row(model)
    if first is None:
        raise ConfigError(
            [f"{key}: the model has no new rows; python -m xalign.vocabulary adds pieces to its tokenizer"]
        )

    def only_new(gradient_VD: Tensor) -> Tensor:
        gradient_VD = gradient_VD.to_dense() if gradient_VD.is_sparse else gradient_VD.clone()
        gradient_VD[:first] = 0
        return gradient_VD

    ends = model.get_input_embeddings(), model.get_output_embeddings()
    for weight in {id(own.weight): own.weight for own in ends}.values():
        assert isinstance(weight, nn.Parameter)
        weight.requires_grad_(True)
        weight.register_hook(only_new)
