"""Translated sentences for analyses: chosen pairs, represented once each.

Shapes: N texts, K layers, D hidden size, P pairs of a language.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from xalign.base.progress import Advance
from xalign.data.parallel import ParallelCorpus
from xalign.evaluation.analyses.base import Needs, Sentences
from xalign.evaluation.engine.session import Session
from xalign.evaluation.engine.similarity import distinct_pairs, fold
from xalign.evaluation.sets.sentences import Pairs

Text = tuple[str, str]
"""(language, text)."""


def pairs_of(corpus: ParallelCorpus, pivot: str, languages: Sequence[str] = ()) -> dict[str, Pairs]:
    """The pairs (pivot text, text) of each of these languages, or of all, that has some."""
    codes = [code for code in corpus.languages if code != pivot and (code in languages or not languages)]
    pairs = {code: list(corpus.pairs(pivot, code)) for code in codes}
    return {code: own for code, own in pairs.items() if own}


def wanted_pairs(pairs: Mapping[str, Pairs], needs: Needs) -> dict[str, Pairs]:
    """The pairs (pivot text, text) that an analysis asks for, by language, none with a side that occurs
    before."""
    return {
        code: [pair for _, pair in distinct_pairs(pairs[code])][: needs.sentences]
        for code in (needs.languages or pairs)
        if code in pairs
    }


def represented(
    session: Session, pivot: str, pairs: Mapping[str, Pairs], needs: Needs, advance: Advance
) -> Sentences:
    """Vectors of all texts of the pairs; `advance` counts distinct texts that are run for the first time.

    Raises:
        ModelError: a hidden state is not finite.
    """
    rows: dict[Text, int] = {}
    numbers = {}
    for code, own in pairs.items():
        sides = [((pivot, source), (code, target)) for source, target in own]
        numbers[code] = np.array(
            [[rows.setdefault(side, len(rows)) for side in pair] for pair in sides], dtype=np.int64
        ).reshape(-1, 2)
    layers = list(needs.layers) or list(range(session.backbone.depth + 1))
    texts = [text for _, text in rows]
    vectors = {
        # Of all layers only those wanted are kept, a few hundred texts at a time: of many languages and a
        # large model all would not fit.
        pooling: np.concatenate(
            [
                session.represent(
                    texts[start : start + _AT_ONCE], pooling, needs.vectors.max_length, advance
                )[:, torch.tensor(layers)].numpy()
                for start in range(0, len(texts), _AT_ONCE)
            ]
        )
        for pooling in needs.vectors.poolings
    }
    return Sentences(
        pivot=pivot,
        layers=layers,
        vectors=vectors,
        languages=[code for code, _ in rows],
        groups=groups_of(list(rows), numbers),
        pairs=numbers,
    )


_AT_ONCE = 512


def groups_of(texts: list[Text], pairs: Mapping[str, NDArray[np.int64]]) -> NDArray[np.int64]:
    """The group (N,) of each text: translations are of one, and so are texts, of whatever language, that are
    equal but for case, Unicode form and white space, and their translations."""
    parents = list(range(len(texts)))

    def root(row: int) -> int:
        while parents[row] != row:
            parents[row] = parents[parents[row]]
            row = parents[row]
        return row

    def join(a: int, b: int) -> None:
        low, high = sorted((root(a), root(b)))
        parents[high] = low

    for own in pairs.values():
        for source, target in own.tolist():
            join(source, target)
    first: dict[str, int] = {}
    for row, (_, text) in enumerate(texts):
        join(row, first.setdefault(fold(text), row))
    roots = [root(row) for row in range(len(texts))]
    numbers = {own: number for number, own in enumerate(dict.fromkeys(roots))}
    return np.array([numbers[own] for own in roots], dtype=np.int64)
