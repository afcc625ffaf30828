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


def retrieval_hits(similarity_NN: Tensor) -> tuple[Tensor, Tensor]:
    """Whether each x finds its y (forward) and each y its x (backward): two (N,) booleans.

    A hit must be strictly nearer than every other candidate: representations that are all alike score 0,
    not 1.
    """
    right_N = similarity_NN.diagonal()
    others_NN = without_diagonal(similarity_NN)
    return right_N > others_NN.amax(1), right_N > others_NN.amax(0)


NO_RIVAL, RIVALS = -1, -2
"""No other candidate is as near as the right one; several are."""


def only_rival(nearer_NN: Tensor) -> Tensor:
    """Of candidates that are as near to x i as its own y, or nearer (row i; the diagonal is left out): the
    number of the only one, `NO_RIVAL` or `RIVALS`; (N,)."""
    count_N = nearer_NN.sum(1)
    found_N = nearer_NN.int().argmax(1)
    return torch.where(count_N == 1, found_N, torch.where(count_N == 0, NO_RIVAL, RIVALS))


def nearer(similarity_NN: Tensor) -> Tensor:
    """Whether y j is as near to x i as its own y, or nearer, for j other than i: (N, N) booleans."""
    return without_diagonal(similarity_NN) >= similarity_NN.diagonal()[:, None]


def without_diagonal(similarity_NN: Tensor) -> Tensor:
    """The same with -inf on the diagonal."""
    eye = torch.eye(len(similarity_NN), dtype=torch.bool, device=similarity_NN.device)
    return similarity_NN.masked_fill(eye, -torch.inf)


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
