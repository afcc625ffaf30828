"""Gradients of embedding tables without the rows that no token touched."""

import torch
from torch import nn
from transformers import PreTrainedModel


def use_sparse_embedding_gradients(model: PreTrainedModel) -> bool:
    """Let the table of input embeddings, where it is trained, have sparse gradients; whether it now does.

    Scaled embeddings (Gemma, XGLM) subclass `nn.Embedding` and keep the option. A tied head that is trained
    adds a dense gradient, and autograd then gives the dense sum: the same values either way. Tables of
    positions stay dense: they are small and mostly touched.
    """
    table = model.get_input_embeddings()
    if not isinstance(table, nn.Embedding) or not table.weight.requires_grad:
        return False
    table.sparse = True
    # A family whose own forward ignores the option is found by asking.
    with torch.enable_grad():
        first = table(torch.zeros(1, 1, dtype=torch.long, device=table.weight.device))
        table.sparse = torch.autograd.grad(first.sum(), table.weight)[0].is_sparse
    return table.sparse
