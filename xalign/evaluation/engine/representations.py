"""Sentence vectors of all layers for many texts, and the few that the report draws.

Shapes: N texts, L blocks, D hidden size.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xalign.base.files import replacing
from xalign.base.progress import Advance
from xalign.config.choices import Pooling
from xalign.data.collate import Tokens, encode, pad
from xalign.models.backbone import Backbone, evaluating
from xalign.models.finite import not_finite


def represent(
    backbone: Backbone,
    texts: Sequence[str],
    *poolings: Pooling,
    max_length: int,
    batch_tokens: int,
    advance: Advance = lambda count: None,
) -> Tensor:
    """Vectors (N, L + 1, D), of P poolings (P, N, L + 1, D), float32, on the CPU, in the order of the texts.

    A text that occurs several times is run once. Texts are cut to `max_length` tokens and run in
    batches of at most `batch_tokens` padded tokens; `advance` counts distinct texts.

    Raises:
        ModelError: a hidden state is not finite.
    """
    position = {text: i for i, text in enumerate(dict.fromkeys(texts))}

    def run(tokens: Tokens) -> Tensor:
        vectors = backbone.represent_all_layers(tokens, *poolings)
        return vectors[None] if len(poolings) == 1 else vectors

    vectors = _represented(backbone, list(position), run, max_length, batch_tokens, advance)
    if len(position) < len(texts):
        vectors = vectors[:, [position[text] for text in texts]]
    return vectors[0] if len(poolings) == 1 else vectors


def represent_layer(
    backbone: Backbone,
    texts: Sequence[str],
    layer: int,
    pooling: Pooling,
    *,
    max_length: int,
    batch_tokens: int,
    advance: Advance = lambda count: None,
) -> Tensor:
    """Vectors (N, D) of one layer, float32, on the CPU, by the blocks below it alone; else as `represent`."""

    def run(tokens: Tokens) -> Tensor:
        return backbone.represent(tokens, layer, pooling)[None, :, None]

    return _represented(backbone, texts, run, max_length, batch_tokens, advance)[0, :, 0]


def _represented(
    backbone: Backbone,
    texts: Sequence[str],
    run: Callable[[Tokens], Tensor],
    max_length: int,
    batch_tokens: int,
    advance: Advance,
) -> Tensor:
    """(P, N, K, D) of what `run` gives of a batch, (P, B, K, D)."""
    rows = encode(backbone.tokenizer, texts, max_length)
    vectors: Tensor | None = None
    with evaluating(backbone):
        for batch in batches([len(row) for row in rows], batch_tokens):
            tokens = pad(backbone.tokenizer, [rows[i] for i in batch]).to(backbone.device)
            vectors_PBKD = run(tokens).cpu()
            if not vectors_PBKD.isfinite().all():
                number = int((~vectors_PBKD.isfinite()).any(0).flatten(1).any(1).nonzero()[0])
                raise not_finite(backbone, vectors_PBKD[0, number], texts[batch[number]])
            if vectors is None:
                vectors = torch.empty(len(vectors_PBKD), len(rows), *vectors_PBKD.shape[2:])
            vectors[:, batch] = vectors_PBKD
            advance(len(batch))
    assert vectors is not None, "no texts"
    return vectors


def batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Indices in groups of similar length, longest first, each of at most `budget` padded tokens.

    A row longer than the budget is alone in its group.
    """
    groups: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if not groups or (len(groups[-1]) + 1) * lengths[groups[-1][0]] > budget:
            groups.append([])
        groups[-1].append(index)
    return groups


@dataclass(frozen=True)
class Picture:
    """Points of the two-dimensional picture: one a sentence and language, at the aligned layer.

    `vectors` (N, D) are float16, all divided by their mean norm, which float16 could not hold for every
    model. Translations of each other have the same number in `sentences` (N,).
    """

    vectors: NDArray[np.float16]
    languages: list[str]
    sentences: list[int]
    texts: list[str]

    def write(self, path: Path) -> None:
        """Write an `.npz` file, whole or not at all."""
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(
                file,
                vectors=self.vectors,
                languages=np.array(self.languages),
                sentences=np.array(self.sentences),
                texts=np.array(self.texts),
            )

    @classmethod
    def read(cls, path: Path) -> "Picture":
        """Read what `write` wrote."""
        with np.load(path) as file:
            return cls(
                file["vectors"],
                file["languages"].tolist(),
                file["sentences"].tolist(),
                file["texts"].tolist(),
            )


def choose_points(
    pairs: dict[str, list[tuple[str, str]]], pivot: str, limit: int
) -> list[tuple[int, str, str]]:
    """(sentence, language, text) of at most `limit` points, from pairs (pivot text, text) by language.

    Sentences with the most languages come first; among equals those that stand early in their
    language's list, so that every language gets its share where no sentence is in all of them.
    """
    translations: dict[str, dict[str, str]] = {}
    first: dict[str, int] = {}
    for language, rows in pairs.items():
        for rank, (source, target) in enumerate(rows):
            translations.setdefault(source, {})[language] = target
            first[source] = min(rank, first.get(source, rank))
    points: list[tuple[int, str, str]] = []
    ordered = sorted(translations, key=lambda s: (-len(translations[s]), first[s]))
    for number, source in enumerate(ordered):
        sentence = [(number, pivot, source), *((number, lang, t) for lang, t in translations[source].items())]
        if len(points) + len(sentence) > limit:
            break
        points.extend(sentence)
    return points


def projected(points: list[tuple[int, str, str]], vectors_ND: Tensor) -> Picture:
    """The picture of chosen points and their vectors (N, D)."""
    scaled = vectors_ND / vectors_ND.norm(dim=1).mean().clamp(min=torch.finfo(torch.float32).tiny)
    return Picture(
        scaled.numpy().astype(np.float16),
        [p[1] for p in points],
        [p[0] for p in points],
        [p[2] for p in points],
    )
