"""Losses over thousands of sentences in the memory of a few: first the vectors' gradient, then the rest."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from xalign.base.errors import ModelError
from xalign.base.phases import phases

T = TypeVar("T")
X = TypeVar("X")


def cached_backward(
    chunks: Sequence[T],
    represent: Callable[[T], Tensor],
    loss_of: Callable[[Tensor], tuple[Tensor, X]],
) -> tuple[Tensor, X]:
    """Loss of all chunks' vectors (N, D) together, detached; its gradient adds to the parameters' `.grad`.

    GradCache (Gao et al. 2021, section 3.2): the vectors without a graph, the loss's gradient with respect to
    them, then chunk by chunk the vectors again, with a graph through which that gradient is sent. Dropout
    repeats. The last chunk keeps its graph from the first time: K chunks take K - 1 forward passes more than
    one large batch, and a single chunk none.

    Several ranks: collectives belong into `loss_of`, which runs once, however many chunks a rank has; the
    caller sums the parameters' gradients over ranks, once.

    Args:
        chunks: what `represent` takes, one at a time; at least one.
        represent: vectors (n, D) of a chunk, with gradient; it enters autocast by itself, if at all.
        loss_of: scalar loss of all vectors (N, D) in the chunks' order, and anything else.

    Raises:
        ModelError: the vectors depend on no trained parameter.
    """
    *early, last = chunks
    states, parts = [], []
    with torch.no_grad():
        for chunk in early:
            states.append(_RandomState())
            parts.append(represent(chunk))
    latest = represent(last)
    if not latest.requires_grad:
        raise ModelError(
            "the vectors depend on no trained parameter, so that a loss of them cannot train the model: "
            "take a higher loss.layer, or an adapter that trains what lies below it"
        )
    sizes = [len(part) for part in (*parts, latest)]
    vectors_ND = torch.cat([*parts, latest.detach()]).requires_grad_()
    del parts
    with phases("forward"):
        loss, extra = loss_of(vectors_ND)
    with phases("backward"):
        loss.backward()
    assert vectors_ND.grad is not None, "the loss does not depend on the vectors"
    *gradients, gradient_of_last = vectors_ND.grad.split(sizes)
    with phases("backward"):
        latest.backward(gradient_of_last)
    del latest
    end = _RandomState()
    for chunk, state, gradient in zip(early, states, gradients, strict=True):
        state.restore()
        vectors = represent(chunk)
        with phases("backward"):
            vectors.backward(gradient)
    end.restore()
    return loss.detach(), extra


class _RandomState:
    """Where torch's generators stand: the CPU's and, once in use, the current GPU's."""

    def __init__(self) -> None:
        self.cpu = torch.get_rng_state()
        self.gpu = torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None

    def restore(self) -> None:
        torch.set_rng_state(self.cpu)
        if self.gpu is not None:
            torch.cuda.set_rng_state(self.gpu)
