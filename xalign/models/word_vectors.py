"""Vectors of pieces from those of words (OFA, Liu et al. 2024, section 3.2)."""

from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from xalign.base.errors import DataError
from xalign.data.readers.files import lines_of
from xalign.models.extension import Extension


def piece_vectors(
    path: Path, tokenizer: PreTrainedTokenizerBase, extension: Extension
) -> tuple[Tensor, Tensor]:
    """Vectors (old, size) and (new, size) of pieces: the mean of those of the words that are written with it;
    0 for a piece of no word. Words come from a file in word2vec's text format.

    Raises:
        DataError: the file is in another format.
    """
    words, vectors = _read(path)
    encoded = tokenizer([f" {word}" for word in words], add_special_tokens=False)["input_ids"]
    pieces = tokenizer.get_vocab()
    names = {number: name for name, number in pieces.items()}
    new = {piece: number for number, piece in enumerate(extension.pieces)}
    sums = [torch.zeros(max(pieces.values()) + 1, vectors.shape[1]), torch.zeros(len(new), vectors.shape[1])]
    counts = [torch.zeros(len(own)) for own in sums]
    rank = {pair: number for number, pair in enumerate(extension.merges)}
    for ids, vector in zip(encoded, vectors, strict=True):
        for number in set(ids):
            sums[0][number] += vector
            counts[0][number] += 1
        for piece in _made_of([names[number] for number in ids], rank):
            if piece in new:
                sums[1][new[piece]] += vector
                counts[1][new[piece]] += 1
    old_vectors, new_vectors = (
        own / count.clamp(min=1)[:, None] for own, count in zip(sums, counts, strict=True)
    )
    return old_vectors, new_vectors


def _made_of(tokens: list[str], rank: dict[tuple[str, str], int]) -> set[str]:
    """Pieces that the merges make of a word's tokens, those in between too."""
    found: set[str] = set()
    while True:
        pairs = [(rank[pair], pair) for pair in pairwise(tokens) if pair in rank]
        if not pairs:
            return found
        _, (left, right) = min(pairs)
        place = next(i for i in range(len(tokens) - 1) if (tokens[i], tokens[i + 1]) == (left, right))
        tokens = [*tokens[:place], left + right, *tokens[place + 2 :]]
        found.add(left + right)


def _read(path: Path) -> tuple[list[str], Tensor]:
    words: list[str] = []
    vectors: list[list[float]] = []
    for number, line in enumerate(lines_of(path), start=1):
        word, *values = line.rstrip().split(" ")
        if number == 1 and len(values) == 1:  # how many words, and of which size
            continue
        try:
            vectors.append([float(value) for value in values])
        except ValueError:
            raise DataError(f"'{path}', line {number}: not a word and its numbers") from None
        if len(values) != len(vectors[0]) or not values:
            other = f"{len(values)} numbers where others have {len(vectors[0])}"
            raise DataError(f"'{path}', line {number}: {other}")
        words.append(word)
    if not words:
        raise DataError(f"'{path}' holds no word vectors")
    return words, torch.tensor(vectors)
