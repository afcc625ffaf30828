"""Retrieval of a sentence's translation by cosine similarity, at every layer.

Shapes: N translation pairs, L layers (embeddings included), D hidden size.
"""

import unicodedata
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize


def similarities(x_NLD: Tensor, y_NLD: Tensor, *, centred: bool) -> Iterator[Tensor]:
    """Cosine similarities (N, N) of each layer in turn, row i of x with column j of y.

    `centred` first subtracts each side's own mean over the N sentences (the language's offset).
    """
    for layer in range(x_NLD.shape[1]):
        # In float64, then rounded: vectors that are equal must give similarities that are equal,
        # wherever they stand in the matrix.
        x_ND, y_ND = x_NLD[:, layer].double(), y_NLD[:, layer].double()
        if centred:
            x_ND, y_ND = x_ND - x_ND.mean(0), y_ND - y_ND.mean(0)
        yield (normalize(x_ND, dim=-1) @ normalize(y_ND, dim=-1).T).float()


def blockers(similarity_NN: Tensor) -> tuple[Tensor, Tensor]:
    """Whether y_j is no farther from x_i than y_i (forward) and x_j no farther from y_i than x_i (backward).

    Two (N, N) booleans: row i says which sentences j keep sentence i from its translation.
    """
    right_N1 = similarity_NN.diagonal()[:, None]
    # Not `>=`: what is not a number keeps every sentence from its translation.
    others = (~(right_N1 > s_NN) for s_NN in (similarity_NN, similarity_NN.T))
    forward_NN, backward_NN = (other_NN.fill_diagonal_(False) for other_NN in others)
    return forward_NN, backward_NN


def retrieval_hits(similarity_NN: Tensor) -> tuple[Tensor, Tensor]:
    """Whether each x finds its y (forward) and each y its x (backward): two (N,) booleans.

    A hit must be strictly nearer than every other candidate: representations that are all alike score 0,
    not 1.
    """
    forward_NN, backward_NN = blockers(similarity_NN)
    return ~forward_NN.any(1), ~backward_NN.any(1)


def only_blocker(blocked_NN: Tensor) -> Tensor:
    """The one sentence that keeps each from its translation (N,), or -1 where none or several do."""
    return torch.where(blocked_NN.sum(1) == 1, blocked_NN.int().argmax(1), -1)


def distinct_pairs(pairs: Sequence[tuple[str, str]]) -> list[tuple[int, tuple[str, str]]]:
    """Pairs, with their numbers, whose source and target both occur for the first time.

    Of sentences that are equal but for case, Unicode form and white space no retrieval can tell which
    one is meant.
    """
    seen: tuple[set[str], set[str]] = (set(), set())
    kept = []
    for index, pair in enumerate(pairs):
        keys = [fold(side) for side in pair]
        if not any(key in known for key, known in zip(keys, seen, strict=True)):
            kept.append((index, pair))
        for key, known in zip(keys, seen, strict=True):
            known.add(key)
    return kept


def fold(text: str) -> str:
    """Text without differences of case, Unicode form and white space."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
